"""The drawn world the demo looks at: a driveway, its weather and the camera on the house wall."""
