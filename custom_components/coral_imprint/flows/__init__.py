"""The dialogs of the user interface: engines on servers, classifiers, and the forms of all."""
