from outbox.relay.slow_hosts import SLOW_SECONDS, SlowHosts

HOST = "https://pds.example"
QUICK_SECONDS, LATE_SECONDS = SLOW_SECONDS / 10, 29.0


def after(*seconds: float) -> SlowHosts:
    hosts = SlowHosts()
    for each in seconds:
        hosts.record(HOST, each)
    return hosts


def test_a_host_is_slow_once_it_has_answered_late() -> None:
    assert HOST in after(LATE_SECONDS)
    assert HOST not in after(QUICK_SECONDS)


def test_a_host_that_answers_quickly_again_is_released_after_a_few_answers() -> None:
    assert HOST in after(LATE_SECONDS, QUICK_SECONDS)
    assert HOST not in after(LATE_SECONDS, *[QUICK_SECONDS] * 3)


def test_a_host_that_answers_late_every_other_time_stays_slow() -> None:
    assert HOST in after(*[LATE_SECONDS, QUICK_SECONDS] * 5)
