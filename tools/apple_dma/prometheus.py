# SPDX-License-Identifier: GPL-2.0
"""apple-dma status --prometheus: the text format that node_exporter reads from a file."""

from . import devices, premap

GAUGE, COUNTER = "gauge", "counter"
PREFIX = "apple_dma_"

# What the metric of each file in sysfs is.
METRICS = {
    "mapped_bytes": (GAUGE, "Bytes registered with the host."),
    "mapped_entries": (GAUGE, "Registrations with the host."),
    "guest_bytes": (GAUGE, "Bytes that count against limit_bytes: those of all devices that share "
                    "it."),
    "live_bytes": (GAUGE, "Bytes that the device's driver holds mapped."),
    "live_mappings": (GAUGE, "Mappings that the device's driver holds."),
    "idle_bytes": (GAUGE, "The part of mapped_bytes without a mapping."),
    "idle_entries": (GAUGE, "The part of mapped_entries without a mapping."),
    "peak_bytes": (GAUGE, "The most that mapped_bytes has been."),
    "peak_entries": (GAUGE, "The most that mapped_entries has been."),
    "limit_bytes": (GAUGE, "The most that guest_bytes may be."),
    "limit_entries": (GAUGE, "The most that mapped_entries may be."),
    "learned_bytes": (GAUGE, "What the host seems to allow if that is less than limit_bytes, else "
                      "0."),
    "learned_entries": (GAUGE, "What the host seems to allow if that is less than limit_entries, "
                        "else 0."),
    "window_bytes": (GAUGE, "The size of the next registration."),
    "doorbells": (COUNTER, "Exits to the host."),
    "batches": (COUNTER, "Doorbells with more than one request."),
    "requests": (COUNTER, "Requests in all doorbells."),
    "doorbell_ns_min": (GAUGE, "The shortest doorbell."),
    "doorbell_ns_mean": (GAUGE, "The mean time of a doorbell."),
    "doorbell_ns_max": (GAUGE, "The longest doorbell."),
    "map_entry_ns": (GAUGE, "The host's time for one request to register."),
    "unmap_entry_ns": (GAUGE, "The host's time for one request to unregister."),
    "batch_fit": (GAUGE, "How many requests fit in doorbell_us."),
    "hits": (COUNTER, "Mappings in existing registrations."),
    "misses": (COUNTER, "Mappings that needed a new registration."),
    "slow_paths": (COUNTER, "Operations that took the engine's lock."),
    "evictions": (COUNTER, "Registrations returned although the mode would have kept them."),
    "align_tries": (COUNTER, "Registrations made only to get an aligned address."),
    "aligned": (COUNTER, "New registrations whose address is aligned to their block."),
    "unaligned": (COUNTER, "New registrations whose address is not aligned to their block."),
    "refusals": (COUNTER, "Registrations that the host refused and that were tried again with a "
                 "smaller size."),
    "map_failures": (COUNTER, "Mappings that failed."),
    "recovered": (COUNTER, "Released registrations of an earlier kernel."),
    "bad_unmaps": (COUNTER, "Unmaps of addresses that were not mapped."),
    "leaked_bytes": (GAUGE, "Memory kept from the kernel, because the device may still reach it."),
    "broken": (GAUGE, "1 if the host broke the protocol."),
    "premap_layout": (GAUGE, "Which memory is premapped: 1 all, 2 the kernel's, 3 the lowest NUMA "
                      "node; 0 none."),
    "premap_pieces": (GAUGE, "Pieces of premapped memory."),
    "premap_unaligned": (GAUGE, "Those without an aligned address."),
}
BOUNCES = {"used": "bytes in use", "peak": "the most that was in use", "size": "all its bytes"}
SETTINGS = ("idle_ms", "batch_max", "doorbell_us")     # no metrics


def unit_of(file, kind):
    """The name of the metric of FILE, which tells its unit, and the factor to that."""
    if "_ns" in file:
        return file.replace("_ns", "") + "_seconds", 1e-9
    return file + ("_total" if kind == COUNTER else ""), 1


def quoted(text):
    """The value of a label."""
    text = (text or "").replace("\\", r"\\").replace('"', r'\"').replace("\n", r"\n")
    return f'"{text}"'


def number(value):
    """Times have a few digits; what is counted has all of them."""
    return str(value) if isinstance(value, int) else f"{value:.10g}"


def sample(name, labels, value):
    """A line with a value."""
    pairs = ",".join(f"{key}={quoted(text)}" for key, text in labels.items())
    return f"{PREFIX}{name}{'{' + pairs + '}' if pairs else ''} {number(value)}"


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
    lines += metric("info", GAUGE, "A device, with its driver, the mode and how it maps; always 1.",
                    [(labels_of(d, driver=d.driver, mode=d.mode, ops=d.ops), 1)
                     for d, _, _ in rows])
    lines += metric("state", GAUGE, "1 for the state that the device is in; apple-dma(8) has "
                    "the states.", [(labels_of(d, state=word), int(word == state.word))
                                    for d, _, state in rows for word in devices.STATES])
    lines += metric("problem", GAUGE, "1 if the device has a problem in its state.",
                    [(labels_of(d), int(state.bad)) for d, _, state in rows])
    lines += metric("premap_refused", GAUGE, "1 if the device may map nothing.",
                    [(labels_of(d), int(bool(d.refusal))) for d, _, _ in rows if d.premaps])
    bounces = premap.bounces(root) if any(d.premaps for d, _, _ in rows) else None
    if bounces:
        for name, value in (("used", bounces.used), ("peak", bounces.peak), ("size", bounces.size)):
            lines += metric(f"bounce_{name}_bytes", GAUGE, "The guest's bounce pool, swiotlb: "
                            f"{BOUNCES[name]}.", [({}, value)])
    for file, (kind, text) in METRICS.items():
        name, factor = unit_of(file, kind)
        values = [(labels_of(d), d.get(file)) for d, _, _ in rows]
        lines += metric(name, kind, text, [(labels, None if value is None else value * factor)
                                           for labels, value in values])
    lines += metric("failures_total", COUNTER, "Mappings that failed, by cause.",
                    [(labels_of(d, cause=cause), d.get(f"failures_{cause}"))
                     for d, _, _ in rows for cause in devices.FAILURES])
    return "\n".join(lines) + "\n"
