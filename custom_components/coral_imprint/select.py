"""Home Assistant's select platform; what it adds is in `class_to_teach`.

Where the cores are used without Home Assistant, this folder is on Python's path, and this file is found in place of the standard
library's module of the same name. It gives way to that then.
"""

PARALLEL_UPDATES = 0

if __name__ == "select":
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
    from pathlib import Path
    import sys

    _here = Path(__file__).resolve().parent
    _spec = PathFinder.find_spec("select", [path for path in sys.path if Path(path).resolve() != _here])
    if _spec is None or _spec.loader is None:
        raise ModuleNotFoundError("the standard library has no module named 'select'", name="select")
    # Whoever imports it gets what is found under its name in the end.
    sys.modules["select"] = module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["select"])
else:
    from .class_to_teach import async_setup_entry

    __all__ = ["PARALLEL_UPDATES", "async_setup_entry"]
