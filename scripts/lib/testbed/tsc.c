// SPDX-License-Identifier: GPL-2.0-only
/*
 * tsc - print the frequency of this machine's time-stamp counter in kHz.
 *
 * A guest under TCG reads the host's counter. It finds out how fast that is by
 * counting against an emulated timer, and on a busy host it may be wrong by a
 * factor of a hundred. So it is told.
 */

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct sample {
	uint64_t tsc;
	int64_t ns;
};

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Both clocks at one time: the try that was disturbed least. */
static struct sample both(void)
{
	struct sample best = { 0, 0 };
	int64_t least = INT64_MAX;
	int i;

	for (i = 0; i < 50; i++) {
		int64_t before = now();
		uint64_t tsc = __rdtsc();
		int64_t after = now();

		if (after - before < least) {
			least = after - before;
			best.tsc = tsc;
			best.ns = before + least / 2;
		}
	}
	return best;
}

int main(void)
{
	struct timespec wait = { 0, 100L * 1000 * 1000 };
	struct sample first = both(), last;

	nanosleep(&wait, NULL);
	last = both();
	printf("%.0f\n", (double)(last.tsc - first.tsc) * 1e6 /
	       (double)(last.ns - first.ns));
	return 0;
}
