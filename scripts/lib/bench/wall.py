# SPDX-License-Identifier: GPL-2.0
"""What is measured in wall time: IOPS, network throughput, scaling over CPUs.

All guests are up and take turns in each round. A figure is the median over the
rounds; a ratio is the median of the ratios within a round.
"""

import json
import os
import statistics

from . import guest, live, nvme, table
from .config import CONFIGS, NEWEST

CPUS = 4
LATENCY = 50            # us for each host entry
NETWORK = ("-netdev hubport,id=n0,hubid=0 -netdev hubport,id=n1,hubid=0 "
           "-device virtio-net-pci,netdev=n1,romfile=")
DEVICES = (nvme.DEVICE, guest.EDU, "e1000e,netdev=n0")
NVME, EDU, NIC = range(len(DEVICES))    # their companions

# The other end of the cable is a virtio card without an IOMMU, in its own namespace.
SETUP = nvme.SHELL + r"""
await_disk
load
domain /sys/class/nvme/nvme0/device
for each in /sys/class/net/*; do
	case $(readlink -f "$each/device/driver") in
	*/e1000e) nic=${each##*/} ;;
	*/virtio_net) peer=${each##*/} ;;
	esac
done
domain "$(readlink -f "/sys/class/net/$nic/device")"
ip netns add far
ip link set "$peer" netns far
ip address add 10.0.0.1/24 dev "$nic"
ip link set "$nic" up
ip -n far address add 10.0.0.2/24 dev "$peer"
ip -n far link set "$peer" up
ip netns exec far iperf3 --server --daemon
for _ in $(seq 100); do ! ping -c1 -W1 -q 10.0.0.2 >/dev/null || break; done
# Caches and code, once.
job 4k 32 --number_ios=3000
job 128k 32 --number_ios=1000
iperf3 -c 10.0.0.2 -t 1 >/dev/null
"""

NET = r"""
net() {
	section=$1
	shift
	at "$section.before"
	counts
	iperf3 --json -c 10.0.0.2 "$@" >/tmp/iperf || { cat /tmp/iperf; fail "iperf3 failed"; }
	at "$section"
	echo "iperf $(tr -d '\n\t' </tmp/iperf)"
	counts
}
"""


def rows(configs):
    """[(key, Config, latency)]: every row there is a measurement for."""
    found = []
    for config in configs:
        found.append((config.name, config, 0))
        if config.apple:
            found.append((f"{config.name}+{LATENCY}", config, LATENCY))
    return found


def latency(config, value, devices=len(DEVICES)):
    """The line of the script that sets a latency of VALUE us for an entry, on DEVICES' hosts."""
    if not config.apple:
        return ""
    return "".join(f"host-set companion{i} latency-us {value} >/dev/null\n"
                   for i in range(devices))


def per_thousand(sections, case, key, ios, index):
    """Host-side counts for each 1,000 of IOS."""
    keys = key.split("+")
    deltas = [guest.delta(sections, case, each, index=index) for each in keys]
    return None if None in deltas or not ios else 1000 * sum(deltas) / ios


def one_nvme(live_guest, delay, seconds):
    """{case: {...}} of one round in one guest."""
    text = nvme.SHELL + latency(live_guest.config, delay)
    for case, (bs, depth, _) in nvme.CASES.items():
        text += f"io {case} {bs} {depth} --time_based --runtime={seconds}\n"
    sections = live_guest.step(text)
    found = {}
    for case in nvme.CASES:
        ios = sections[case].number("ios")
        found[case] = {
            "rate": float(sections[case].values["iops"][0]),
            "doorbells": per_thousand(sections, case, "doorbells", ios, NVME),
            "entries": per_thousand(sections, case, "map_entries+unmap_entries", ios, NVME),
        }
    return found


def one_network(live_guest, delay, seconds):
    """The same for a transfer each way."""
    text = NET + latency(live_guest.config, delay)
    text += f"net transmit -t {seconds}\nnet receive -R -t {seconds}\n"
    sections = live_guest.step(text)
    found = {}
    for case in ("transmit", "receive"):
        end = json.loads(" ".join(sections[case].values["iperf"]))["end"]["sum_received"]
        packets = end["bytes"] / 1448
        found[case] = {
            "rate": end["bits_per_second"] / 1e6,
            "doorbells": per_thousand(sections, case, "doorbells", packets, NIC),
            "entries": per_thousand(sections, case, "map_entries+unmap_entries", packets, NIC),
        }
    return found


def one_scale(live_guest, delay, milliseconds):
    """Pairs in a second on one CPU and on all of them."""
    text = latency(live_guest.config, delay)
    for cpus in (1, CPUS):
        text += (f"bench warm{cpus} scale cpus={cpus} ms=10\n"
                 f"bench cpus{cpus} scale cpus={cpus} ms={milliseconds}\n")
    sections = live_guest.step(text)
    found = {}
    for cpus in (1, CPUS):
        case = f"cpus{cpus}"
        section = sections[case]
        pairs = section.number("pairs")
        found[case] = {
            "rate": 1e9 * pairs / section.number("ns"),
            "doorbells": per_thousand(sections, case, "doorbells", pairs, EDU),
            "entries": per_thousand(sections, case, "map_entries+unmap_entries", pairs, EDU),
            "slow_paths": guest.delta(sections, case, "slow_paths", "module", EDU),
        }
    return found


def summary(rounds, base):
    """Medians over the ROUNDS of a row, ratios against the same rounds of BASE."""
    found = {}
    for case in rounds[0]:
        rates = [each[case]["rate"] for each in rounds]
        median = statistics.median(rates)
        cell = {"rate": median, "rates": rates,
                "spread": (max(rates) - min(rates)) / median if median else None}
        for key in rounds[0][case]:
            if key != "rate":
                values = [each[case][key] for each in rounds]
                # The first round is a warm-up as well.
                cell[key] = None if None in values else statistics.median(values[1:] or values)
        if base:
            cell["ratio"] = statistics.median(
                each[case]["rate"] / other[case]["rate"] for each, other in zip(rounds, base))
        found[case] = cell
    return found


def run(bench):
    """{"nvme": {row: {case: ...}}, "network": ..., "scale": ...}."""
    rounds = 3 if bench.quick else 4
    kinds = {"scale": (one_scale, 300), "nvme": (one_nvme, 1 if bench.quick else 2),
             "network": (one_network, 1 if bench.quick else 2)}
    raw = {kind: {} for kind in kinds}
    lost = set()
    configs = [each for each in bench.configs_on(NEWEST) if not each.premap]
    with live.together(bench, configs, NEWEST, cpus=CPUS, devices=DEVICES,
                       qemu=[nvme.BACKEND, NETWORK]) as guests:
        def step(config, what, *args):
            """A step in a guest; after a failure the guest is left out."""
            if config.name not in guests or config.name in lost:
                return None
            with bench.attempt(f"wall: {config.name}"):
                return what(guests[config.name], *args)
            lost.add(config.name)
            return None

        for config in configs:
            step(config, lambda each: each.step(SETUP))
        for turn in range(rounds):
            for kind, (measure, length) in kinds.items():
                bench.say(f"{kind}: round {turn + 1} of {rounds}")
                for key, config, delay in rows(configs):
                    if kind == "scale" and delay:
                        continue
                    found = step(config, measure, delay, length)
                    raw[kind].setdefault(key, []).append(found)
    raw = {kind: {key: each for key, each in found.items() if None not in each}
           for kind, found in raw.items()}
    return {kind: {key: summary(each, found.get("none")) for key, each in found.items()}
            for kind, found in raw.items()}


def label(key):
    """The first column of a row."""
    name, _, delay = key.partition("+")
    config = next(each for each in CONFIGS if each.name == name)
    return f"{config.label}; {delay} µs per host entry" if delay else config.label


def _table(title, found, cases, digits, note):
    head = [""]
    for _, text in cases:
        head += [text, "×", "spread", "doorbells", "entries"]
    lines = []
    for key, each in found.items():
        row = [label(key)]
        for case, _ in cases:
            cell = each[case]
            row += [table.decimal(cell["rate"], digits),
                    table.ratio(cell.get("ratio"), 1), table.percent(cell["spread"]),
                    table.decimal(cell["doorbells"], 1), table.decimal(cell["entries"], 1)]
        lines.append(row)
    return table.Table(title, head, lines, note)


def tables(found):
    """One Table for each kind of load."""
    cores = len(os.sched_getaffinity(0))
    yield _table(f"NVMe random reads, IOPS, Linux {NEWEST}", found["nvme"],
                 [(case, title) for case, (_, _, title) in nvme.CASES.items()], 0,
                 "No icount. × is the median of the ratios within a round; doorbells and host "
                 "entries are for 1,000 I/Os, counted by the host. An exit costs next to nothing "
                 f"under TCG; the rows with {LATENCY} µs are nearer to a hypervisor.")
    yield _table(f"Network transfer over e1000e, Mbit/s, Linux {NEWEST}", found["network"],
                 [("transmit", "transmit"), ("receive", "receive")], 0,
                 "iperf3 to a virtio card of the same guest, through a hub of QEMU; doorbells and "
                 "entries are for 1,000 segments of 1,448 bytes.")
    head = ["", "pairs/s, 1 CPU", "× of none", f"pairs/s, {CPUS} CPUs", f"{CPUS} CPUs : 1",
            "slow paths"]
    lines = []
    for key, each in found["scale"].items():
        one, all_of_them = each["cpus1"], each[f"cpus{CPUS}"]
        lines.append([label(key), table.number(one["rate"]), table.ratio(one.get("ratio"), 1),
                      table.number(all_of_them["rate"]),
                      table.ratio(all_of_them["rate"], one["rate"]),
                      table.number(all_of_them["slow_paths"])])
    yield table.Table(
        f"Map+unmap pairs on {CPUS} vCPUs, Linux {NEWEST}", head, lines,
        f"This machine has {cores} cores, so that no more than {cores}.00× can be had. Slow "
        "paths: operations that took the engine's lock.")
