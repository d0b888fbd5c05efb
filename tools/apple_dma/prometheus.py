# SPDX-License-Identifier: GPL-2.0
"""apple-dma status --prometheus: the text format that node_exporter reads from a file."""

from . import devices

GAUGE, COUNTER = "gauge", "counter"
PREFIX = "apple_dma_"

# The metric of each file in sysfs: its name, its type, what it is, the factor to its unit.
METRICS = {
    "mapped_bytes": ("mapped_bytes", GAUGE, "Bytes registered with the host.", 1),
    "mapped_entries": ("mapped_entries", GAUGE, "Registrations with the host.", 1),
    "guest_bytes": ("guest_bytes", GAUGE, "Bytes that count against limit_bytes: those of all "
                    "devices that share it.", 1),
    "live_bytes": ("live_bytes", GAUGE, "Bytes that the device's driver holds mapped.", 1),
    "live_mappings": ("live_mappings", GAUGE, "Mappings that the device's driver holds.", 1),
    "idle_bytes": ("idle_bytes", GAUGE, "The part of mapped_bytes without a mapping.", 1),
    "idle_entries": ("idle_entries", GAUGE, "The part of mapped_entries without a mapping.", 1),
    "peak_bytes": ("peak_bytes", GAUGE, "The most that mapped_bytes has been.", 1),
    "peak_entries": ("peak_entries", GAUGE, "The most that mapped_entries has been.", 1),
    "limit_bytes": ("limit_bytes", GAUGE, "The most that guest_bytes may be.", 1),
    "limit_entries": ("limit_entries", GAUGE, "The most that mapped_entries may be.", 1),
    "learned_bytes": ("learned_bytes", GAUGE, "What the host seems to allow if that is less than "
                      "limit_bytes, else 0.", 1),
    "learned_entries": ("learned_entries", GAUGE, "What the host seems to allow if that is less "
                        "than limit_entries, else 0.", 1),
    "window_bytes": ("window_bytes", GAUGE, "The size of the next registration.", 1),
    "doorbells": ("doorbells_total", COUNTER, "Exits to the host.", 1),
    "batches": ("batches_total", COUNTER, "Doorbells with more than one request.", 1),
    "requests": ("requests_total", COUNTER, "Requests in all doorbells.", 1),
    "doorbell_ns_min": ("doorbell_min_seconds", GAUGE, "The shortest doorbell.", 1e-9),
    "doorbell_ns_mean": ("doorbell_mean_seconds", GAUGE, "The mean time of a doorbell.", 1e-9),
    "doorbell_ns_max": ("doorbell_max_seconds", GAUGE, "The longest doorbell.", 1e-9),
    "map_entry_ns": ("map_entry_seconds", GAUGE, "The host's time for one request to register.",
                     1e-9),
    "unmap_entry_ns": ("unmap_entry_seconds", GAUGE, "The host's time for one request to "
                       "unregister.", 1e-9),
    "batch_fit": ("batch_fit", GAUGE, "How many requests fit in doorbell_us.", 1),
    "hits": ("hits_total", COUNTER, "Mappings in existing registrations.", 1),
    "misses": ("misses_total", COUNTER, "Mappings that needed a new registration.", 1),
    "slow_paths": ("slow_paths_total", COUNTER, "Operations that took the engine's lock.", 1),
    "evictions": ("evictions_total", COUNTER, "Registrations returned although the mode would "
                  "have kept them.", 1),
    "align_tries": ("align_tries_total", COUNTER, "Registrations made only to get an aligned "
                    "address.", 1),
    "aligned": ("aligned_total", COUNTER, "New registrations whose address is aligned to their "
                "block.", 1),
    "unaligned": ("unaligned_total", COUNTER, "New registrations whose address is not aligned to "
                  "their block.", 1),
    "refusals": ("refusals_total", COUNTER, "Registrations that the host refused and that were "
                 "tried again with a smaller size.", 1),
    "map_failures": ("map_failures_total", COUNTER, "Mappings that failed.", 1),
    "recovered": ("recovered_total", COUNTER, "Released registrations of an earlier kernel.", 1),
    "bad_unmaps": ("bad_unmaps_total", COUNTER, "Unmaps of addresses that were not mapped.", 1),
    "leaked_bytes": ("leaked_bytes", GAUGE, "Memory kept from the kernel, because the device may "
                     "still reach it.", 1),
    "broken": ("broken", GAUGE, "1 if the host broke the protocol.", 1),
}
SETTINGS = ("idle_ms", "batch_max", "doorbell_us")     # no metrics


def quoted(text):
    """The value of a label."""
    text = (text or "").replace("\\", r"\\").replace('"', r'\"').replace("\n", r"\n")
    return f'"{text}"'


def sample(name, labels, value):
    """A line with a value."""
    pairs = ",".join(f"{key}={quoted(text)}" for key, text in labels.items())
    return f"{PREFIX}{name}{'{' + pairs + '}' if pairs else ''} {value:.10g}"


def metric(name, kind, text, samples):
    """All lines of a metric; none if it has no value."""
    lines = [sample(name, labels, value) for labels, value in samples if value is not None]
    return [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} {kind}", *lines] if lines \
        else []


def labels_of(device, **more):
    """The labels of a device's values."""
    return {"companion": device.companion, "device": device.managed or "", **more}


def text_of(root, rows):
    """The whole text; ROWS are (device, doorbells per second, state)."""
    lines = metric("module_loaded", GAUGE, "1 if the module apple_dma is loaded.",
                   [({}, int(devices.loaded(root)))])
    lines += metric("info", GAUGE, "A device, with its driver and the mode; always 1.",
                    [(labels_of(d, driver=d.driver, mode=d.mode), 1) for d, _, _ in rows])
    lines += metric("state", GAUGE, "1 for the state that the device is in; apple-dma(8) has "
                    "the states.", [(labels_of(d, state=word), int(word == state.word))
                                    for d, _, state in rows for word in devices.STATES])
    lines += metric("problem", GAUGE, "1 if the device has a problem in its state.",
                    [(labels_of(d), int(state.bad)) for d, _, state in rows])
    for file, (name, kind, text, factor) in METRICS.items():
        values = [(labels_of(d), d.get(file)) for d, _, _ in rows]
        lines += metric(name, kind, text, [(labels, None if value is None else value * factor)
                                           for labels, value in values])
    lines += metric("failures_total", COUNTER, "Mappings that failed, by cause.",
                    [(labels_of(d, cause=cause), d.get(f"failures_{cause}"))
                     for d, _, _ in rows for cause in devices.FAILURES])
    return "\n".join(lines) + "\n"
