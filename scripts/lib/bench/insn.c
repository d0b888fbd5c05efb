// SPDX-License-Identifier: GPL-2.0-only
/*
 * insn - a TCG plugin that counts the instructions a guest of one CPU carries
 * out, and writes the count to the file out=PATH whenever the guest passes a
 * mark, an instruction that does nothing: `nopl 0x62656e63(%rax)` on x86_64,
 * `movz xzr, #0x6265` on arm64.
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <qemu/qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static const uint8_t mark_x86_64[] = { 0x0f, 0x1f, 0x80, 0x63, 0x6e, 0x65, 0x62 };
static const uint8_t mark_arm64[] = { 0xbf, 0x4c, 0x8c, 0xd2 };

static const uint8_t *mark;
static size_t mark_size;
static uint64_t count;
static FILE *out;

static void at_mark(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	fprintf(out, "%" PRIu64 "\n", count);
	fflush(out);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t i;

	(void)id;
	for (i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
							   &count, 1);
		if (qemu_plugin_insn_size(insn) == mark_size &&
		    !memcmp(qemu_plugin_insn_data(insn), mark, mark_size))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_mark,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
					   char **argv)
{
	bool arm64 = !strcmp(info->target_name, "aarch64");

	mark = arm64 ? mark_arm64 : mark_x86_64;
	mark_size = arm64 ? sizeof(mark_arm64) : sizeof(mark_x86_64);
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "insn: usage: -plugin insn.so,out=PATH\n");
		return -1;
	}
	out = fopen(argv[0] + 4, "w");
	if (!out) {
		perror(argv[0] + 4);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
