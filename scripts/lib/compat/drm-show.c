// SPDX-License-Identifier: GPL-2.0
/*
 * drm-show - put random pixels on a screen, and into a file.
 *
 * usage: drm-show CARD FILE
 *
 * Sets the first mode of the first connected connector of CARD, with a dumb
 * buffer, and writes the red, green and blue of each pixel to FILE. Says so with
 * a line on standard output, and keeps the picture until standard input ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libdrm/drm.h>
#include <libdrm/drm_mode.h>

#define MOST 16

static int card;

static void fail(const char *what)
{
	fprintf(stderr, "drm-show: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void call(unsigned long request, void *argument, const char *what)
{
	if (ioctl(card, request, argument))
		fail(what);
}

/* The connector that has a screen, with its first mode and the first CRTC. */
static uint32_t find_screen(struct drm_mode_modeinfo *mode, uint32_t *crtc)
{
	uint32_t crtcs[MOST], connectors[MOST];
	struct drm_mode_card_res all = {
		.crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = MOST,
		.connector_id_ptr = (uintptr_t)connectors, .count_connectors = MOST,
	};

	call(DRM_IOCTL_MODE_GETRESOURCES, &all, "resources");
	for (uint32_t i = 0; i < all.count_connectors && i < MOST; i++) {
		struct drm_mode_modeinfo modes[256];
		/* The first call, with no room for modes, makes the driver look. */
		struct drm_mode_get_connector look = { .connector_id = connectors[i] };
		struct drm_mode_get_connector one = {
			.connector_id = connectors[i],
			.modes_ptr = (uintptr_t)modes, .count_modes = 256,
		};

		call(DRM_IOCTL_MODE_GETCONNECTOR, &look, "connector");
		call(DRM_IOCTL_MODE_GETCONNECTOR, &one, "modes");
		if (one.connection == 1 && one.count_modes) {
			*mode = modes[0];
			*crtc = crtcs[0];
			return connectors[i];
		}
	}
	errno = ENODEV;
	fail("connected screen");
	return 0;
}

static void fill(uint32_t *pixels, uint32_t pitch, uint32_t width, uint32_t height, FILE *copy)
{
	FILE *random = fopen("/dev/urandom", "r");
	uint8_t colour[3];

	if (!random)
		fail("/dev/urandom");
	for (uint32_t y = 0; y < height; y++) {
		for (uint32_t x = 0; x < width; x++) {
			if (fread(colour, 3, 1, random) != 1 || fwrite(colour, 3, 1, copy) != 1)
				fail("copy");
			pixels[y * (pitch / 4) + x] = colour[0] << 16 | colour[1] << 8 | colour[2];
		}
	}
	fclose(random);
}

int main(int argc, char **argv)
{
	struct drm_mode_modeinfo mode;
	struct drm_mode_create_dumb dumb = { .bpp = 32 };
	struct drm_mode_map_dumb place = { 0 };
	struct drm_mode_fb_cmd frame = { .bpp = 32, .depth = 24 };
	struct drm_mode_crtc show = { .mode_valid = 1 };
	struct drm_mode_fb_dirty_cmd dirty = { 0 };
	uint32_t connector, crtc;
	void *pixels;
	FILE *copy;

	if (argc != 3) {
		fputs("usage: drm-show CARD FILE\n", stderr);
		return 2;
	}
	card = open(argv[1], O_RDWR | O_CLOEXEC);
	if (card < 0)
		fail(argv[1]);
	copy = fopen(argv[2], "w");
	if (!copy)
		fail(argv[2]);

	connector = find_screen(&mode, &crtc);
	dumb.width = mode.hdisplay;
	dumb.height = mode.vdisplay;
	call(DRM_IOCTL_MODE_CREATE_DUMB, &dumb, "dumb buffer");
	place.handle = dumb.handle;
	call(DRM_IOCTL_MODE_MAP_DUMB, &place, "address of the buffer");
	pixels = mmap(NULL, dumb.size, PROT_READ | PROT_WRITE, MAP_SHARED, card, (off_t)place.offset);
	if (pixels == MAP_FAILED)
		fail("mmap");
	fill(pixels, dumb.pitch, dumb.width, dumb.height, copy);
	if (fclose(copy))
		fail(argv[2]);

	frame.width = dumb.width;
	frame.height = dumb.height;
	frame.pitch = dumb.pitch;
	frame.handle = dumb.handle;
	call(DRM_IOCTL_MODE_ADDFB, &frame, "frame buffer");
	show.crtc_id = crtc;
	show.fb_id = frame.fb_id;
	show.set_connectors_ptr = (uintptr_t)&connector;
	show.count_connectors = 1;
	show.mode = mode;
	call(DRM_IOCTL_MODE_SETCRTC, &show, "mode");
	dirty.fb_id = frame.fb_id;
	call(DRM_IOCTL_MODE_DIRTYFB, &dirty, "update");

	printf("%u %u\n", dumb.width, dumb.height);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
