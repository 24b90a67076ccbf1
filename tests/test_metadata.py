"""The metadata Home Assistant's hassfest and HACS check for a custom integration, re-stated.

Both need the network and a repository on GitHub; this needs neither.
"""

import ast
from collections.abc import Iterator
from functools import cache
import importlib
from importlib.metadata import version
import json
from pathlib import Path
import re
import struct
from typing import Any, cast

from awesomeversion import AwesomeVersion, AwesomeVersionStrategy
from homeassistant.components.bluetooth.match import IntegrationMatcher
from homeassistant.const import Platform
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.entity import EntityDescription
from homeassistant.loader import BluetoothMatcher
import pytest
import yaml

from custom_components.smart_rings.contact import Reason
from custom_components.smart_rings.rings import MODELS

ROOT = Path(__file__).parent.parent
INTEGRATION = ROOT / "custom_components/smart_rings"
DOMAIN = INTEGRATION.name

MANIFEST_REQUIRED = {
    "codeowners", "config_flow", "documentation", "domain", "integration_type", "iot_class",
    "issue_tracker", "name", "version",
}  # fmt: skip
MANIFEST_OPTIONAL = {
    "after_dependencies", "bluetooth", "dependencies", "import_executor", "loggers",
    "quality_scale", "requirements", "single_config_entry",
}  # fmt: skip
MATCHER_KEYS = {
    "connectable", "local_name", "manufacturer_data_start", "manufacturer_id",
    "service_data_uuid", "service_uuid",
}  # fmt: skip
HACS_KEYS = {
    "content_in_root", "country", "filename", "hacs", "hide_default_branch", "homeassistant",
    "name", "persistent_directory", "render_readme", "zip_release",
}  # fmt: skip
TEXT_SECTIONS = {
    "common", "conditions", "config", "device", "entity", "exceptions", "issues", "options",
    "selector", "services", "title", "triggers",
}  # fmt: skip
QUALITY_RULES = {
    "bronze": {
        "action-setup", "appropriate-polling", "brands", "common-modules", "config-flow",
        "config-flow-test-coverage", "dependency-transparency", "docs-actions", "docs-conditions",
        "docs-high-level-description", "docs-installation-instructions",
        "docs-removal-instructions", "docs-triggers", "entity-event-setup", "entity-unique-id",
        "has-entity-name", "runtime-data", "test-before-configure", "test-before-setup",
        "unique-config-entry",
    },
    "silver": {
        "action-exceptions", "config-entry-unloading", "docs-configuration-parameters",
        "docs-installation-parameters", "entity-unavailable", "integration-owner",
        "log-when-unavailable", "parallel-updates", "reauthentication-flow", "test-coverage",
    },
    "gold": {
        "devices", "diagnostics", "discovery", "discovery-update-info", "docs-data-update",
        "docs-examples", "docs-known-limitations", "docs-supported-devices",
        "docs-supported-functions", "docs-troubleshooting", "docs-use-cases", "dynamic-devices",
        "entity-category", "entity-device-class", "entity-disabled-by-default",
        "entity-translations", "exception-translations", "icon-translations",
        "reconfiguration-flow", "repair-issues", "stale-devices",
    },
    "platinum": {"async-dependency", "inject-websession", "strict-typing"},
}  # fmt: skip
# What an integration declares in YAML: the file, the word its icon stands under, and the quality
# rule that is exempt while nothing is declared.
DECLARED = {
    "services": ("services.yaml", "service", "docs-actions"),
    "triggers": ("triggers.yaml", "trigger", "docs-triggers"),
    "conditions": ("conditions.yaml", "condition", "docs-conditions"),
}
# Abort reasons the core's flow helpers raise themselves.
FLOW_HELPER_REASONS = {
    "_abort_if_unique_id_configured": "already_configured",
    "_abort_if_unique_id_mismatch": "unique_id_mismatch",
    "async_set_unique_id": "already_in_progress",
    "async_update_reload_and_abort": "reconfigure_successful",
}
# Components any integration may import without naming them in its manifest.
FREE_COMPONENTS = {*map(str, Platform), "diagnostics", "homeassistant", "repairs"}

# The three layers of the house, and what each must not know.
FORBIDDEN_IMPORTS = {
    "custom_components/smart_rings": {"ringsim"},
    "custom_components/smart_rings/rings": {"homeassistant", "probatio", "voluptuous"},
    "ringsim": {"bleak", "custom_components", "habluetooth", "homeassistant"},
}

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TEXT_KEY = re.compile(r"(?!.*[_-]{2})(?![_-])[a-z0-9_-]+(?<![_-])")
PLACEHOLDER = re.compile(r"{([^}]*)}")


@cache
def load(path: Path) -> Any:
    """The content of a JSON or YAML file; empty when there is no such file."""
    if not path.exists():
        return {}
    return (
        json.loads(path.read_text())
        if path.suffix == ".json"
        else yaml.safe_load(path.read_text()) or {}
    )


MANIFEST = load(INTEGRATION / "manifest.json")
ENGLISH = load(INTEGRATION / "translations/en.json")
ICONS = load(INTEGRATION / "icons.json")


@cache
def modules() -> dict[Path, ast.Module]:
    """Every module of the integration, parsed."""
    return {path: ast.parse(path.read_text()) for path in sorted(INTEGRATION.rglob("*.py"))}


def nodes[T: ast.AST](kind: type[T], *paths: Path) -> Iterator[T]:
    """Every syntax node of a kind in the named modules, else in all."""
    for path in paths or modules():
        yield from (node for node in ast.walk(modules()[path]) if isinstance(node, kind))


def calls() -> Iterator[tuple[str, dict[str, str | None]]]:
    """Every call in the integration: the called name, and its keywords with their literal texts."""
    for call in nodes(ast.Call):
        function = call.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        yield (
            name,
            {keyword.arg: literal(keyword.value) for keyword in call.keywords if keyword.arg},
        )


def imported(node: ast.AST) -> list[str]:
    """The modules an import statement names; none for any other syntax node."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def literal(node: ast.expr) -> str | None:
    """The text a syntax node stands for, when it is one."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def texts(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text below a node of a translation file, with its path."""
    if isinstance(node, str):
        yield path, node
        return
    for key, child in node.items():
        yield from texts(child, (*path, key))


def declared(section: str) -> dict[str, Any]:
    """The services, triggers or conditions the integration declares, without YAML anchors."""
    content = load(INTEGRATION / DECLARED[section][0])
    return {key: value or {} for key, value in content.items() if not key.startswith(".")}


def test_manifest_keys_and_their_order() -> None:
    """The keys are known, complete, and in hassfest's order."""
    keys = list(MANIFEST)
    assert MANIFEST_REQUIRED <= MANIFEST.keys() <= MANIFEST_REQUIRED | MANIFEST_OPTIONAL
    assert keys == ["domain", "name", *sorted(set(keys) - {"domain", "name"})]


def test_manifest_values() -> None:
    """The values are what the loader, hassfest and HACS accept."""
    assert MANIFEST["domain"] == DOMAIN
    assert MANIFEST["integration_type"] in {"device", "hub", "service"}
    assert MANIFEST["iot_class"] in {"local_polling", "local_push"}
    assert MANIFEST["config_flow"] is (INTEGRATION / "config_flow.py").exists()
    assert all(owner.startswith("@") for owner in MANIFEST["codeowners"])
    assert not any(" " in requirement for requirement in MANIFEST.get("requirements", []))
    for key in ("documentation", "issue_tracker"):
        assert MANIFEST[key].startswith("https://")
        assert "home-assistant.io" not in MANIFEST[key]
    AwesomeVersion(MANIFEST["version"], ensure_strategy=AwesomeVersionStrategy.SEMVER)


@pytest.mark.parametrize("matcher", MANIFEST["bluetooth"], ids=str)
def test_bluetooth_matcher(matcher: dict[str, Any]) -> None:
    """A matcher is one core can index: a bad one would break discovery for every integration."""
    assert matcher.keys() <= MATCHER_KEYS
    assert "manufacturer_id" in matcher or "manufacturer_data_start" not in matcher
    assert not set("*?[") & set(matcher.get("local_name", "")[:3])
    for key in ("service_uuid", "service_data_uuid"):
        assert key not in matcher or UUID.fullmatch(matcher[key])
    IntegrationMatcher([cast("BluetoothMatcher", {"domain": DOMAIN, **matcher})]).async_setup()


def test_matchers_are_the_rules_of_the_recogniser() -> None:
    """What the library recognises is what Home Assistant tells us of, no more and no less."""
    rules = [
        {
            "local_name": re.sub("#+$", "*", rule.name),
            "service_uuid": rule.service_uuid,
            "manufacturer_id": rule.company,
        }
        for model in MODELS.values()
        for rule in model.rules
        if rule.payload == "*"  # those that look closer at what others let through
    ]
    expected = [{key: value for key, value in rule.items() if value} for rule in rules]
    assert sorted(MANIFEST["bluetooth"], key=str) == sorted(expected, key=str)


def test_imported_components_are_dependencies() -> None:
    """Every component the code imports is named in the manifest, or comes with one that is."""
    components = set()
    for node in nodes(ast.ImportFrom):
        parts = (node.module or "").split(".")
        if parts[:2] == ["homeassistant", "components"]:
            components |= {parts[2]} if len(parts) > 2 else {alias.name for alias in node.names}
    named = {*MANIFEST["dependencies"], *MANIFEST.get("after_dependencies", [])}
    if "bluetooth_adapters" in named:
        named.add("bluetooth")
    assert components <= named | FREE_COMPONENTS


@pytest.mark.parametrize("folder", FORBIDDEN_IMPORTS)
def test_layers(folder: str) -> None:
    """No layer imports what it must not know; of the library only the link knows bleak."""
    for path in (ROOT / folder).rglob("*.py"):
        tree = ast.walk(ast.parse(path.read_text()))
        names = {name.split(".")[0] for node in tree for name in imported(node)}
        assert not names & FORBIDDEN_IMPORTS[folder], path
        if folder.endswith("/rings") and path.name != "link.py":
            assert not names & {"bleak", "bleak_retry_connector"}, path


def test_english_texts_are_complete() -> None:
    """English exists, in known sections, with keys Home Assistant accepts."""
    assert ENGLISH
    assert ENGLISH.keys() <= TEXT_SECTIONS
    assert [path for path, _ in texts(ENGLISH) if not all(map(TEXT_KEY.fullmatch, path))] == []


@pytest.mark.parametrize(
    "path", sorted((INTEGRATION / "translations").glob("*.json")), ids=lambda path: path.stem
)
def test_translation(path: Path) -> None:
    """Every text is plain, and a translation has the placeholders of the English text."""
    english = dict(texts(ENGLISH))
    for key, text in texts(load(path)):
        where = "/".join(key)
        cv.string_with_no_html(text)
        assert text == text.strip(), where
        assert text, where
        assert "://" not in text, where
        assert "[%key:" not in text, where
        assert not re.search(r"'{\w+}'", text), where
        placeholders = PLACEHOLDER.findall(text)
        assert all(map(str.isidentifier, placeholders)), where
        assert not (placeholders and key[0] == "entity" and "state" in key), where
        assert set(placeholders) == set(PLACEHOLDER.findall(english[key])), where


def test_flow_texts() -> None:
    """Every step, error and abort reason of the flows has a text, and every field a help."""
    fixes = [issue["fix_flow"] for issue in ENGLISH["issues"].values() if "fix_flow" in issue]
    flows = [ENGLISH["config"], ENGLISH.get("options", {}), *fixes]
    have = {
        kind: {key for flow in flows for key in flow.get(kind, {})}
        for kind in ("step", "abort", "error")
    }
    for name, arguments in calls():
        kind, key = "step", arguments.get("step_id") if name == "async_show_form" else None
        if name in FLOW_HELPER_REASONS or name == "async_abort":
            kind, key = "abort", arguments.get("reason", FLOW_HELPER_REASONS.get(name))
        assert key is None or key in have[kind]
    methods = {function.name for function in nodes(ast.AsyncFunctionDef)}
    for flow in flows:
        for step, content in flow.get("step", {}).items():
            assert f"async_step_{step}" in methods
            assert content.get("data", {}).keys() == content.get("data_description", {}).keys(), (
                step
            )


def test_exception_and_issue_texts() -> None:
    """Every literal translation key of an exception or repair issue has a text."""
    for name, arguments in calls():
        section = "issues" if name == "async_create_issue" else "exceptions"
        if "translation_domain" in arguments or section == "issues":
            key = arguments.get("translation_key")
            assert key is None or key in ENGLISH.get(section, {})


def test_every_reason_has_words() -> None:
    """As an error, and where an event tells it."""
    told = ENGLISH["entity"]["event"]["events"]["state_attributes"]["reason"]["state"]
    assert set(Reason) <= ENGLISH["exceptions"].keys()
    assert set(Reason) <= told.keys()


@pytest.mark.parametrize(
    "platform", [platform for platform in Platform if (INTEGRATION / f"{platform}.py").exists()]
)
def test_entity_texts(platform: Platform) -> None:
    """Every described entity has a name: its own, or that of its device class."""
    names = {key for key, texts in ENGLISH["entity"].get(platform, {}).items() if "name" in texts}
    module = importlib.import_module(f"custom_components.{DOMAIN}.{platform}")
    tables = [table for table in vars(module).values() if isinstance(table, tuple | list)]
    for description in (entry for table in tables for entry in table):
        if isinstance(description, EntityDescription):
            unnamed = description.translation_key is None
            assert description.device_class if unnamed else description.translation_key in names
    for assignment in nodes(ast.Assign, INTEGRATION / f"{platform}.py"):
        if "_attr_translation_key" in map(ast.unparse, assignment.targets):
            assert literal(assignment.value) in {None, *names}


def test_no_dead_texts() -> None:
    """Every text and icon belongs to something the code still names."""
    named = {node.value for node in nodes(ast.Constant) if isinstance(node.value, str)}
    named |= set(FLOW_HELPER_REASONS.values())
    keyed = {
        **{f"config/{kind}": ENGLISH["config"].get(kind, {}) for kind in ("abort", "error")},
        **{
            f"options/{kind}": ENGLISH.get("options", {}).get(kind, {})
            for kind in ("abort", "error")
        },
        **{section: ENGLISH.get(section, {}) for section in ("exceptions", "issues")},
        **{f"entity/{platform}": keys for platform, keys in ENGLISH["entity"].items()},
    }
    assert {
        f"{section}/{key}" for section, keys in keyed.items() for key in keys if key not in named
    } == set()
    described = {(platform, key) for platform, keys in ENGLISH["entity"].items() for key in keys}
    iconed = {(platform, key) for platform, keys in ICONS.get("entity", {}).items() for key in keys}
    assert iconed <= described


@pytest.mark.parametrize("section", DECLARED)
def test_declared_have_texts_and_icons(section: str) -> None:
    """Services, triggers and conditions have a text for each field, and an icon."""
    content = declared(section)
    described = ENGLISH.get(section, {})
    assert content.keys() == described.keys() == ICONS.get(section, {}).keys()
    for key, declaration in content.items():
        fields = set()
        for field, value in (declaration.get("fields") or {}).items():
            fields |= set(value["fields"]) if "fields" in (value or {}) else {field}
        assert described[key].keys() >= {"name", "description"}
        assert fields == described[key].get("fields", {}).keys()
        assert all(
            text.keys() >= {"name", "description"}
            for text in described[key].get("fields", {}).values()
        )
        assert DECLARED[section][1] in ICONS[section][key]


def test_icons_exist() -> None:
    """Every icon is one the frontend has: a misspelt one shows as nothing."""
    frontend = importlib.import_module("hass_frontend").where()
    known = {f"mdi:{icon['name']}" for icon in load(frontend / "static/mdi/iconList.json")}
    assert {icon for _, icon in texts(ICONS)} <= known


def test_quality_scale() -> None:
    """Every rule of the scale is answered, and each exemption says why."""
    rules = load(INTEGRATION / "quality_scale.yaml")["rules"]
    assert rules.keys() == set.union(*QUALITY_RULES.values())
    for rule, answer in rules.items():
        if isinstance(answer, dict):
            assert answer.keys() == {"status", "comment"}, rule
            assert answer["status"] in {"done", "exempt", "todo"}, rule
        else:
            assert answer in {"done", "todo"}, rule
    for section, (_, _, rule) in DECLARED.items():
        assert isinstance(rules[rule], str) == bool(declared(section)), rule


@pytest.mark.parametrize(("name", "size"), [("icon.png", 256), ("icon@2x.png", 512)])
def test_brand_icon(name: str, size: int) -> None:
    """The icon is a PNG of the size the frontend asks for."""
    header = (INTEGRATION / "brand" / name).read_bytes()[:24]
    assert header.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", header[16:24]) == (size, size)


def test_hacs_file() -> None:
    """HACS knows every key, and asks for the Home Assistant this is tested with or an older one."""
    hacs = load(ROOT / "hacs.json")
    assert {"name", "homeassistant"} <= hacs.keys() <= HACS_KEYS
    assert hacs["name"] == MANIFEST["name"]
    assert hacs.get("zip_release") is True
    assert hacs["filename"] == f"{DOMAIN}.zip"
    assert AwesomeVersion(hacs["homeassistant"]) <= AwesomeVersion(version("homeassistant"))


def test_environment_has_home_assistants_own_versions() -> None:
    """Tests see the library versions users have: those the manifests of the used components pin."""
    components = Path(importlib.import_module("homeassistant.components").__path__[0])
    queue, seen = ["bluetooth_adapters", "esphome", "recorder", "frontend"], set[str]()
    while queue:
        component = queue.pop()
        if component in seen:
            continue
        seen.add(component)
        manifest = load(components / component / "manifest.json")
        queue += manifest.get("dependencies", [])
        for requirement in manifest.get("requirements", []):
            name, pinned = requirement.split("==")
            assert version(name.split("[")[0]) == pinned, f"{component} needs {requirement}"
