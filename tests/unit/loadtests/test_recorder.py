from dataclasses import dataclass, field

from loadtests.recorder import Recorder


@dataclass
class Entry:
    name: str
    response_times: dict[float, int] = field(default_factory=dict)
    num_failures: int = 0

    @property
    def num_requests(self) -> int:
        return sum(self.response_times.values())

    @property
    def total_response_time(self) -> float:
        return sum(value * count for value, count in self.response_times.items())

    @property
    def max_response_time(self) -> float:
        return max(self.response_times)


def test_both_methods_of_one_scenario_are_one_row() -> None:
    entries = [Entry("bad input", {1.0: 3}), Entry("bad input", {5.0: 1}, num_failures=1)]

    (figures,) = Recorder().measurement(entries, (), ()).scenarios

    assert (figures.requests, figures.failures) == (4, 1)
    assert (figures.mean_ms, figures.p50_ms, figures.p99_ms, figures.max_ms) == (2, 1, 5, 5)


def test_server_timings_are_summed_by_stage_and_tiers_counted() -> None:
    recorder = Recorder()
    recorder.add_timing("search", 'total;dur=2.0, encode;dur=1.5, cache;desc="miss"')
    recorder.add_timing("search", 'total;dur=1.0, cache;desc="local"')
    recorder.add_timing("search", "")

    (figures,) = recorder.measurement([Entry("search", {1.0: 3})], (), ()).scenarios

    assert figures.timed == 2
    assert figures.stages_ms == {"total": 3.0, "encode": 1.5, "cache": 0.0}
    assert figures.tiers == {"miss": 1, "local": 1}


def test_index_versions_and_reasons_of_checked_bodies_are_kept() -> None:
    recorder = Recorder()
    recorder.add_checked("search", {"index": "pins@2", "degraded": ["cache_unavailable"]})
    recorder.add_checked("search", {"index": "pins@1", "degraded": []})
    recorder.add_checked("search", {})

    measured = recorder.measurement([Entry("search", {1.0: 3})], (), ())

    assert measured.indexes == ("pins@1", "pins@2")
    assert measured.degraded == {"cache_unavailable": 1}
    assert measured.scenarios[0].checked == 3


def test_processor_use_is_measured_between_start_and_stop() -> None:
    recorder = Recorder()
    recorder.start(100.0)
    recorder.stop(110.0)

    measured = recorder.measurement([], (), ())

    assert measured.seconds == 10
    assert 0 <= measured.generator_cpu < 1


def test_nothing_measured_is_no_error() -> None:
    assert Recorder().measurement([], (), ()).requests == 0
