"""What Grafana is given fits together: folders, data source, panels. Nobody starts Grafana here."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
GRAFANA = DEPLOY / "grafana"
SERVICES = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())["services"]
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "celeriac.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
COLUMNS = 24


def _provisioned(what: str) -> dict[str, Any]:
    (file,) = (GRAFANA / "provisioning" / what).iterdir()
    (found,) = yaml.safe_load(file.read_text())[{"dashboards": "providers"}.get(what, what)]
    return dict(found)


def test_grafana_looks_where_compose_mounts() -> None:
    mounts = dict(each.split(":")[:2] for each in SERVICES["grafana"]["volumes"])

    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    assert mounts["./deploy/grafana/dashboards"] == _provisioned("dashboards")["options"]["path"]
    assert mounts["./deploy/grafana/start"] == SERVICES["grafana"]["entrypoint"][0]


def test_data_source_is_the_prometheus_of_the_same_profile() -> None:
    source = _provisioned("datasources")

    assert source["url"] == "http://prometheus:9090"
    assert SERVICES["prometheus"]["profiles"] == SERVICES["grafana"]["profiles"]
    known = {"type": source["type"], "uid": source["uid"]}
    asked = [panel["datasource"] for panel in PANELS]
    asked += [target["datasource"] for panel in PANELS for target in panel["targets"]]
    assert [each for each in asked if each != known] == []


def test_panels_are_told_apart_and_cover_no_other() -> None:
    assert len({panel["id"] for panel in PANELS}) == len({each["title"] for each in PANELS})
    for panel in PANELS:
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names) > 0
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
