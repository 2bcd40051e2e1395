"""What all entities of a classifier share."""

from collections.abc import Callable, Iterable
from typing import ClassVar, override

from homeassistant.const import Platform
from homeassistant.core import callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity, EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .classifiers.coordinator import ClassifierCoordinator
from .const import DOMAIN, MANUFACTURER, MODEL_CLASSIFIER
from .core.imprinting import LearnedClass
from .engines.engine import EngineConfigEntry


class ClassifierEntity(CoordinatorEntity[ClassifierCoordinator]):
    """An entity on a classifier's device."""

    _attr_has_entity_name = True

    def __init__(self, coordinator: ClassifierCoordinator, key: str) -> None:
        """Take the classifier and what tells this entity from its others."""
        super().__init__(coordinator)
        self._attr_unique_id = f"{coordinator.subentry_id}_{key}"
        entry_id = coordinator.config_entry.entry_id
        self._attr_device_info = DeviceInfo(
            identifiers={(DOMAIN, coordinator.subentry_id)},
            name=coordinator.settings.name,
            manufacturer=MANUFACTURER,
            model=MODEL_CLASSIFIER,
            via_device_id=dr.async_get_device_id_by_identifier(
                coordinator.hass, (DOMAIN, entry_id), config_entry_id=entry_id
            ),
        )

    @property
    @override
    def available(self) -> bool:
        # Before the first look nothing is known: better unavailable than yesterday's answer.
        return super().available and self.coordinator.reading is not None

    def class_label(self, class_id: str | None) -> str | None:
        """Return the label of a class, None for none."""
        learned = self.coordinator.classes.get(class_id) if class_id else None
        return learned.label if learned else None


class ClassifierControl(ClassifierEntity):
    """A setting, or something to press: there whatever looks find, and written only when it changed."""

    def __init__(self, coordinator: ClassifierCoordinator, description: EntityDescription) -> None:
        """Take the classifier and the description."""
        super().__init__(coordinator, description.key)
        self.entity_description = description
        self._written: object = None

    @property
    @override
    def available(self) -> bool:
        return True

    @property
    def followed(self) -> object:
        """What the state is made of."""
        return self.coordinator.settings

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        if (followed := self.followed) != self._written:
            self._written = followed
            super()._handle_coordinator_update()


@callback
def async_setup_classifiers(
    entry: EngineConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    build: Callable[[ClassifierCoordinator], Iterable[Entity]],
) -> None:
    """Add a platform's entities for each classifier, now or when it comes."""

    @callback
    def add(coordinator: ClassifierCoordinator) -> None:
        async_add_entities(build(coordinator), config_subentry_id=coordinator.subentry_id)

    entry.runtime_data.async_on_classifier(add)


@callback
def async_setup_described[DescriptionT: EntityDescription](
    entry: EngineConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    build: Callable[[ClassifierCoordinator, DescriptionT], Entity],
    descriptions: Iterable[DescriptionT],
) -> None:
    """Add an entity of each description for each classifier, now or when it comes."""
    async_setup_classifiers(
        entry, async_add_entities, lambda coordinator: [build(coordinator, one) for one in descriptions]
    )


class ClassEntity(ClassifierEntity):
    """An entity of one class, which its name follows."""

    translation: ClassVar[str]
    """Its translation key, which tells a class's entities of one platform from others."""
    suffix: ClassVar[str] = ""
    """What its unique id ends with, after the class's id."""
    of_background: ClassVar[bool] = False
    """Whether background classes have one."""

    def __init__(self, coordinator: ClassifierCoordinator, learned: LearnedClass) -> None:
        """Take the class."""
        super().__init__(coordinator, learned.id + self.suffix)
        self._attr_translation_key = self.translation
        self.class_id = learned.id
        self._label = learned.label
        self.set_label(learned.label)

    def set_label(self, label: str) -> None:
        """Take the class's label into the name."""
        raise NotImplementedError

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        label = self.class_label(self.class_id)
        if label is None:
            return  # removed; the entity follows
        if label != self._label:
            # Entity id and unique id stay.
            self._label = label
            self.set_label(label)
            if isinstance(self.name, str):
                er.async_get(self.hass).async_update_entity(self.entity_id, original_name=self.name)
        super()._handle_coordinator_update()


@callback
def async_setup_classes(
    entry: EngineConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    platform: Platform,
    entity_type: type[ClassEntity],
) -> None:
    """Keep an entity of one platform for each class of each classifier, as classes come and go."""

    @callback
    def add(coordinator: ClassifierCoordinator) -> None:
        present: set[str] = set()

        @callback
        def follow() -> None:
            classes = coordinator.classes
            wanted = [key for key, one in classes.items() if entity_type.of_background or not one.background]
            async_add_entities(
                [entity_type(coordinator, classes[key]) for key in wanted if key not in present],
                config_subentry_id=coordinator.subentry_id,
            )
            _async_keep(coordinator, platform, entity_type, wanted)
            present.clear()
            present.update(wanted)

        follow()
        coordinator.async_on_classes_changed(follow)

    entry.runtime_data.async_on_classifier(add)


@callback
def _async_keep(
    coordinator: ClassifierCoordinator, platform: Platform, entity_type: type[ClassEntity], class_ids: Iterable[str]
) -> None:
    """Remove a classifier's entities of a kind whose classes are no more, those that are disabled too."""
    registry = er.async_get(coordinator.hass)
    kept = {f"{coordinator.subentry_id}_{class_id}{entity_type.suffix}" for class_id in class_ids}
    for registered in er.async_entries_for_config_entry(registry, coordinator.config_entry.entry_id):
        if (
            registered.domain == platform
            and registered.config_subentry_id == coordinator.subentry_id
            and registered.translation_key == entity_type.translation
            and registered.unique_id not in kept
        ):
            registry.async_remove(registered.entity_id)
