import re

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient


def test_a_live_process_says_so(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "live"}


def test_readiness_names_the_index_that_answers(client: TestClient) -> None:
    ready = client.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["index"].startswith("pins@")
    assert (ready["degraded"], ready["last_refusal"]) == ([], None)


def test_info_says_what_is_served_and_that_the_model_is_a_stand_in(client: TestClient) -> None:
    info = client.get("/info").json()
    assert info["index"]["items"] == 672
    assert info["index"]["recall_at_10"] == 1.0
    assert info["model"]["stand_in"] is True
    assert info["model"]["note"] == "stand-in, not a Chinese model"
    assert info["attributes"]["category"]["values"] == 32
    assert ["baking", 21] in info["attributes"]["category"]["top"]
    assert info["attributes"]["price"]["kind"] == "number"


def test_metrics_count_requests_by_route_template_and_never_by_id(client: TestClient) -> None:
    client.get("/items/pin-3/similar?k=1")
    client.get("/items/pin-4/similar?k=1")
    text = client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    routes = {
        sample.labels["route"]
        for sample in families["http_server_request_duration_seconds"].samples
    }
    assert "/items/{item_id:path}/similar" in routes
    assert "pin-3" not in text
    assert {"rec_cache_requests", "rec_stage_duration_seconds", "rec_index_version_info"} <= set(
        families
    )


def test_the_page_and_its_parts_are_served_with_a_strict_policy(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_metrics_tell_what_the_caches_hold_and_what_became_of_lookups(client: TestClient) -> None:
    client.get("/items/pin-5/similar?k=3")
    text = client.get("/metrics").text
    for line in (
        'rec_cache_held_bytes{store="local"} ',
        'rec_cache_entries{store="negative"} ',
        'rec_cache_evictions_total{store="repeats"} ',
        'rec_cache_lookups_total{result="hit",store="local"} ',
        'rec_cache_early_refreshes_total{result="made"} ',
        'rec_cache_skipped_total{tier="redis"} ',
    ):
        assert f"\n{line}" in text
    held = re.search(r'rec_cache_held_bytes{store="local"} (\S+)', text)
    assert held is not None
    assert float(held[1]) > 1000
