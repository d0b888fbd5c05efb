# SPDX-License-Identifier: GPL-2.0
"""Debian's kernels: which there are, and the boot files of one."""

import contextlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass

from . import built, cache, cpio, packages
from .errors import TestbedError, UsageError, warn

DAY = 24 * 3600
RECIPE = 4              # to be raised when _make() makes something else

# Modules that the guest's first stage needs to reach its root file system.
BOOT_MODULES = ("virtio_pci", "virtio_scsi", "sr_mod", "virtio_console", "crc32c_generic",
                "libcrc32c", "ext4", "overlay")

# Modules for hardware that no guest has.
UNUSED = ("sound/firewire", "sound/isa", "sound/soc", "sound/usb",
          "drivers/media", "drivers/staging", "drivers/iio", "drivers/isdn",
          "drivers/net/wireless", "drivers/net/can", "drivers/infiniband",
          "drivers/bluetooth", "drivers/gpu/drm/amd", "drivers/gpu/drm/i915",
          "drivers/gpu/drm/nouveau", "drivers/gpu/drm/radeon", "drivers/gpu/drm/xe",
          "drivers/gpu/drm/msm", "drivers/comedi", "drivers/accel",
          "net/wireless", "net/mac80211", "net/bluetooth")


@dataclass(frozen=True)
class Kernel:
    """One kernel of one suite for one architecture."""

    name: str           # 6.1, 6.12-16k or 6.12-cloud
    release: str        # 6.1.0-56-amd64, 6.12.1+deb13-arm64-16k or 6.12.1+deb13-cloud-amd64
    version: str        # 6.1.192-2
    suite: str          # bookworm
    arch: str           # x86_64

    @property
    def folder(self):
        """Its boot files, relative to the cache."""
        return f"kernels/{self.arch}/{self.release}.{RECIPE}"

    @property
    def append(self):
        """Its own kernel arguments."""
        return ""

    @property
    def cached(self):
        """Whether its boot files are there."""
        return os.path.isdir(os.path.join(cache.root(), self.folder))

    @property
    def variant(self):
        """How it differs from the default kernel of its version: 16k, cloud, rt, or nothing."""
        return self.name.partition("-")[2]

    @property
    def order(self):
        """What kernels are sorted by: the version, then the variant."""
        version = self.name.partition("-")[0]
        return [int(number) for number in version.split(".")], self.variant

    @property
    def candidate(self):
        """Whether it is a release candidate."""
        return "~rc" in self.version


def own_suite():
    """The code name of this machine's Debian release."""
    with contextlib.suppress(OSError), open("/etc/os-release", encoding="utf-8") as file:
        match = re.search(r"^VERSION_CODENAME=(\w+)", file.read(), re.MULTILINE)
        if match:
            return match.group(1)
    raise TestbedError("/etc/os-release names no VERSION_CODENAME; is this Debian?")


# The name of the newest kernel; with a variant it is newest-16k.
NEWEST = "newest"

def named(name, variant):
    """NAME (6.12, newest) with the variant: 6.12-16k."""
    return f"{name}-{variant}" if variant else name


def suites():
    """The suites to search, the most stable one first."""
    own = own_suite()
    names = [own, "trixie", "trixie-backports", "sid", "experimental", f"{own}-backports"]
    return list(dict.fromkeys(names))


def _index_path():
    return os.path.join(cache.root(), "kernels", "index.json")


def _load_index():
    try:
        with open(_index_path(), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def _store(key, value):
    path = _index_path()
    with cache.lock(path + ".lock"):
        index = _load_index()
        index[key] = value
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(index, file, indent=1)
        os.rename(path + ".new", path)


def _flavours(suite, arch):
    """The kernels that SUITE has a metapackage of, as {package: variant}.

    They are linux-image-arm64, linux-image-cloud-arm64, linux-image-arm64-16k; a package of
    one version, or with debugging symbols, is none.
    """
    pattern = re.compile(rf"linux-image-(?:([a-z]+)-)?{arch.debian}(?:-(\d+k))?")
    matches = map(pattern.fullmatch, packages.names(suite, arch.debian, "linux-image-"))
    return {match[0]: "-".join(filter(None, match.groups())) for match in matches if match}


def _ask(suite, arch):
    """The kernels of SUITE for ARCH, from the mirror."""
    flavours, found = _flavours(suite, arch), {}
    for fields in packages.show(suite, arch.debian, sorted(flavours)) if flavours else ():
        package = fields["Package"]
        match = re.search(rf"linux-image-(\d\S+-{package.removeprefix('linux-image-')})"
                          r"(?:-unsigned)?(?![\w-])", fields.get("Depends", ""))
        if match and package not in found:
            name = ".".join(re.match(r"(\d+)\.(\d+)", match[1]).groups())
            found[package] = Kernel(named(name, flavours[package]), match[1], fields["Version"],
                                    suite, arch.name)
    return list(found.values())


def _key(suite, arch):
    return f"{suite} {arch.name}"


def _known(suite, arch):
    """The kernels of SUITE as they were when the mirror was last asked; nothing if it never was."""
    known = _load_index().get(_key(suite, arch), {"kernels": []})
    # Checkouts from before there were variants stored the default kernel only.
    return [Kernel(**each) for each in known.get("kernels", [known.get("kernel")]) if each]


def of_suite(suite, arch, max_age):
    """The kernels of SUITE, one for each variant, asked for again after MAX_AGE seconds."""
    known = _load_index().get(_key(suite, arch))
    if not known or "kernels" not in known or time.time() - known["asked"] > max_age:
        found = _ask(suite, arch)
        default = [asdict(each) for each in found if not each.variant]
        known = {"asked": time.time(), "kernel": default[0] if default else None,
                 "kernels": [asdict(each) for each in found]}
        _store(_key(suite, arch), known)
    return [Kernel(**each) for each in known["kernels"]]


def every(arch, max_age=DAY):
    """All kernels there are for ARCH, the oldest first, one for each name."""
    found = {}
    for suite in suites():
        try:
            kernels = of_suite(suite, arch, max_age)
        except TestbedError as error:
            warn(error)
            kernels = _known(suite, arch)
        for kernel in kernels:
            found.setdefault(kernel.name, kernel)
    return sorted(found.values(), key=lambda kernel: kernel.order)


def newest(arch, variant=""):
    """The newest kernel of VARIANT for ARCH that is no release candidate, or None."""
    known = [k for k in every(arch) if k.variant == variant and not k.candidate]
    return known[-1] if known else None


def names(arch):
    """What --kernel takes for ARCH, releases apart."""
    known = every(arch)
    variants = dict.fromkeys(kernel.variant for kernel in known if not kernel.candidate)
    return [*(kernel.name for kernel in known),
            *(named(NEWEST, variant) for variant in variants)]


def built_here(arch, rows=False):
    """The kernels for ARCH that are built from source, in the form of every().

    ROWS: only those that are rows of `make kernels`.
    """
    found = []
    for name, recipe in built.KERNELS.items():
        if arch.name in recipe.fragments and (recipe.row or not rows):
            try:
                found.append(built.find(name, arch, own_suite()))
            except TestbedError as error:
                warn(error)
    return found


def find(name, arch):
    """The kernel called NAME (6.1) or released as NAME (6.1.0-56-amd64).

    NEWEST is the newest that is no release candidate, newest-16k that of a variant.

    What is in the cache is used as it is; the mirror is asked, suite by suite,
    only for a name that is not known yet.
    """
    if name in built.KERNELS:
        return built.find(name, arch, own_suite())
    start, _, variant = name.partition("-")
    kernel = newest(arch, variant) if start == NEWEST else None
    if kernel:
        return kernel
    for look in (_known, lambda *where: of_suite(*where, DAY)):
        for suite in suites():
            for kernel in look(suite, arch):
                if name in (kernel.name, kernel.release):
                    return kernel
    raise UsageError(f"unknown kernel '{name}' for {arch.name}; there are: "
                     f"{', '.join([*names(arch), *built.KERNELS])}")


def prepare(kernel, arch):
    """The folder with vmlinuz, modules.ext4 and boot-modules/ of KERNEL."""
    if kernel.name in built.KERNELS:
        what, mib = f"building the kernel {kernel.release}, which takes long", built.MIB
    else:
        what, mib = f"getting the kernel {kernel.release}", 1200
    return cache.entry(kernel.folder, what, mib, lambda work, final: _make(kernel, arch, work))


def _image_packages(kernel, arch):
    """The packages the image of KERNEL consists of."""
    wanted, todo = [], [f"linux-image-{kernel.release}"]
    while todo:
        name = todo.pop()
        wanted.append(name)
        for fields in packages.show(kernel.suite, arch.debian, [name])[:1]:
            needs = re.findall(r"\b(linux-(?:binary|modules)-[^ ,]+)",
                               fields.get("Depends", "") + ", " + fields.get("Pre-Depends", ""))
            todo += [need for need in needs if need not in wanted + todo]
    return wanted


def _unpack(kernel, arch, work):
    """A root with the files of KERNEL's packages, modules unpacked."""
    debs = packages.download(kernel.suite, arch.debian, _image_packages(kernel, arch),
                             os.path.join(work, "debs"))
    tree = os.path.join(work, "tree")
    os.makedirs(os.path.join(tree, "usr", "lib"))
    os.symlink("usr/lib", os.path.join(tree, "lib"))
    packages.unpack(debs, tree, ["--wildcards"] +
                    [f"--exclude=*/modules/*/kernel/{path}" for path in UNUSED])
    cache.remove(os.path.join(work, "debs"))
    modules = os.path.join(tree, "lib", "modules", kernel.release)
    if not os.path.isdir(modules):
        raise TestbedError(f"the packages of {kernel.release} hold no modules")
    cache.run(["sh", "-c", 'find "$1" -name "*.ko.xz" -print0 | xargs -0r -P2 -n64 xz -d &&'
               'find "$1" -name "*.ko.zst" -print0 | xargs -0r -P2 -n64 zstd -q -d --rm',
               "sh", modules], "unpacking modules")
    return tree


def _make(kernel, arch, work):
    build = None
    if kernel.name in built.KERNELS:
        tree, build = built.compile_tree(kernel, arch, work)
    else:
        tree = _unpack(kernel, arch, work)
    modules = os.path.join(tree, "lib", "modules", kernel.release)
    cache.run([cache.tool("depmod"), "-b", tree, kernel.release], "depmod")

    made = os.path.join(work, "made")
    os.makedirs(made)
    _copy_boot_modules(modules, os.path.join(made, "boot-modules"))
    # Newer packages have the image among the modules.
    for image in (os.path.join(tree, "boot", f"vmlinuz-{kernel.release}"),
                  os.path.join(modules, "vmlinuz")):
        if os.path.exists(image):
            os.link(image, os.path.join(made, "vmlinuz"))
            break
    else:
        raise TestbedError(f"the packages of {kernel.release} hold no kernel image")
    with contextlib.suppress(FileExistsError):
        os.link(image, os.path.join(modules, "vmlinuz"))        # for kexec in the guest
    cpio.make_ext4(os.path.join(tree, "lib", "modules"), os.path.join(made, "modules.ext4"))
    with open(os.path.join(made, "kernel.json"), "w", encoding="utf-8") as file:
        json.dump(asdict(kernel), file, indent=1)
    if build:
        os.rename(build, os.path.join(made, "build"))
    return made


def _copy_boot_modules(modules, target):
    """Copy BOOT_MODULES and what they need; a file `order` lists them in order."""
    needs = {}
    with open(os.path.join(modules, "modules.dep"), encoding="utf-8") as file:
        for line in file:
            path, _, rest = line.partition(":")
            needs[os.path.basename(path)[:-3].replace("-", "_")] = [path, *rest.split()]
    order = []
    for name in BOOT_MODULES:
        # modules.dep lists what is needed in reverse order; what it does not list is built in.
        for path in reversed(needs.get(name, [])):
            if path not in order:
                order.append(path)
    os.makedirs(target)
    for path in order:
        os.link(os.path.join(modules, path), os.path.join(target, os.path.basename(path)))
    with open(os.path.join(target, "order"), "w", encoding="ascii") as file:
        file.writelines(os.path.basename(path) + "\n" for path in order)
