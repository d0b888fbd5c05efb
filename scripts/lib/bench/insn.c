// SPDX-License-Identifier: GPL-2.0-only
/*
 * insn - a TCG plugin that counts the instructions a guest of one CPU carries
 * out, and writes the count to the file out=PATH whenever the guest passes a
 * mark: the instruction `nopl 0x62656e63(%rax)`, which does nothing.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <qemu/qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static const uint8_t mark[] = { 0x0f, 0x1f, 0x80, 0x63, 0x6e, 0x65, 0x62 };
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
		if (qemu_plugin_insn_size(insn) == sizeof(mark) &&
		    !memcmp(qemu_plugin_insn_data(insn), mark, sizeof(mark)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_mark,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
					   char **argv)
{
	(void)info;
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
