"""The actions. Each takes a classifier's device; each error is one that the user can read."""

from typing import Final

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, callback
from homeassistant.helpers import config_validation as cv, service
from homeassistant.helpers.typing import VolSchemaType
import voluptuous as vol

from ..const import DOMAIN
from .action import Action, classifier_of, engine_of
from .looking import LOOKING
from .teaching import TEACHING
from .transfer import TRANSFER

ACTIONS: Final = (*TEACHING, *LOOKING, *TRANSFER)


@callback
def async_register_actions(hass: HomeAssistant) -> None:
    """Register every action."""
    for action in ACTIONS:

        async def handle(call: ServiceCall, action: Action = action) -> ServiceResponse:
            device_id = call.data[ATTR_DEVICE_ID]
            if action.engine_handler:
                return await action.engine_handler(call, *engine_of(hass, device_id))
            assert action.handler
            return await action.handler(call, classifier_of(hass, device_id))

        fields = vol.Schema({vol.Required(ATTR_DEVICE_ID): cv.string, **action.fields})
        schema: VolSchemaType = vol.All(fields, action.check) if action.check else fields
        if action.admin:
            service.async_register_admin_service(
                hass, DOMAIN, action.name, handle, schema, supports_response=action.response
            )
        else:
            hass.services.async_register(DOMAIN, action.name, handle, schema, supports_response=action.response)
