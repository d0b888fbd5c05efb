# SPDX-License-Identifier: GPL-2.0
"""Breaks: changes of one place in the driver, and the KUnit case that fails with each.

They show that the net is there: test_breaks.py makes each of them in a copy of the
sources and sees the case fail. A break is found by its text, so that it moves with its
function; where the text is gone, the break is to be written anew, not removed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Break:
    """One change: OLD, which FILE has once, becomes NEW, and the case TEST fails."""

    change: str         # what the driver does then
    file: str
    old: str
    new: str
    test: str           # suite.case of kunit/
    kernel: str = "uml"     # where it runs: uml, or debug for what needs a device
    report: str = ""        # what the kernel reports as well, if it does


BREAKS = (
    # ---- what an earlier kernel left
    Break("duplicates are not released", "driver/window.c",
          "\tif (e->clean) {\n", "\tif (true) {\n",
          "recover.one_in_the_way_leads_to_the_others"),
    Break("one that was in the way leads to no search", "driver/cover.c",
          "\tif (refusal->leftovers)\n", "\tif (false)\n",
          "recover.one_in_the_way_leads_to_the_others"),
    Break("an image believes in the search before it was made", "driver/recover.c",
          "\te->swept = false;\n\te->clean = false;\n", "",
          "recover.image_finds_what_another_kernel_left"),
    Break("a sleep ends all waiting for a search", "driver/recover.c",
          "\te->swept = true;\n\treinit_completion(&e->searched);\n", "\te->swept = true;\n",
          "recover.search_is_waited_for_after_a_sleep"),

    # ---- sleep
    Break("windows that the host forgot in its sleep are not noticed", "driver/engine.c",
          "\treturn !moved;\n", "\treturn true;\n",
          "idle.forgotten_windows_are_found"),

    Break("a device whose mappings the host forgot may do DMA", "driver/managed.c",
          "\t\tpci_clear_master(to_pci_dev(m->dev));\n"
          "\t\t__managed_offline(m);\n",
          "\t\t__managed_offline(m);\n",
          "managed.lost_device_is_cut_off", "debug"),
    Break("the command page is not programmed at resume", "driver/pm.c",
          "\tapple_dma_transport_program(&ad->transport);\n", "",
          "main.registers_are_programmed_at_resume", "debug"),
    Break("it hibernates with something mapped", "driver/pm.c",
          "\tif (stats.mapped_entries && !READ_ONCE(pm_restoring)) {\n", "\tif (false) {\n",
          "main.mapped_memory_is_not_hibernated", "debug"),

    # ---- memory that goes, and strict mode
    Break("with a balloon mappings are cached all the same", "driver/engine.h",
          "\treturn e->mode == APPLE_DMA_MODE_CACHED && !e->unsafe;\n",
          "\treturn e->mode == APPLE_DMA_MODE_CACHED;\n",
          "engine.unsafe_is_strict_for_ever"),
    Break("virtio-mem is not noticed", "driver/balloon.c",
          " || virtio_id == VIRTIO_ID_MEM;\n", ";\n",
          "balloon.pci_balloons_are_found", "debug"),
    Break("a balloon that comes late is not noticed", "driver/balloon.c",
          "\tif (action == BUS_NOTIFY_ADD_DEVICE &&\n",
          "\tif (false &&\n",
          "balloon.pci_balloons_are_found", "debug"),
    Break("windows of the cached mode take mappings when a balloon comes late",
          "driver/engine.c",
          "apple_dma_idle_retire(e, 0, U64_MAX, \"mode\");\n",
          "apple_dma_idle_flush(e, UINT_MAX, \"mode\");\n",
          "idle.retired_stay_retired"),
    Break("memory that goes is not noticed", "driver/ram.c",
          "\tswitch (action) {\n", "\tswitch (action == MEM_ONLINE ? action : 0) {\n",
          "ram.memory_goes"),
    Break("windows in use take mappings when their memory goes offline", "driver/engine.c",
          "\tapple_dma_idle_retire(e, start, end, \"offline\");\n",
          "\tapple_dma_idle_flush(e, UINT_MAX, \"offline\");\n",
          "ram.windows_go_with_their_memory"),
    Break("windows made while memory goes offline stay", "driver/ram.c",
          "\tcase MEM_OFFLINE:\n", "\tcase MEM_OFFLINE:\n\t\tbreak;\n",
          "ram.nothing_stays_where_memory_went"),

    # ---- what is idle
    Break("a window that was idle and is in use again is given back", "driver/idle.c",
          "\t\tstamp = READ_ONCE(w->stamp);\n",
          "\t\tstamp = READ_ONCE(w->stamp);\n\t\tatomic64_set(&w->live, 0);\n",
          "idle.used_again_is_in_use"),
    Break("an unmap gives back whatever is idle", "driver/map.c",
          "\tapple_dma_window_give_back(e, emptied, \"unmap\");\n",
          "\tapple_dma_window_give_back(e, emptied, \"unmap\");\n"
          "\tapple_dma_idle_evict(e, U64_MAX, U64_MAX);\n",
          "idle.unmap_gives_back_its_own_window"),
    Break("a map that cannot fit gives back what is idle first", "driver/cover.c",
          "\t    apple_dma_budget_never_fits(e, est->first))\n",
          "\t    (false && apple_dma_budget_never_fits(e, est->first)))\n",
          "shape.what_cannot_fit_empties_nothing"),
    Break("a list that cannot fit gives back what is idle first", "driver/runs.c",
          "\treturn fits || need <=", "\treturn true || need <=",
          "shape.list_that_cannot_fit_empties_nothing"),

    Break("a sibling is emptied although there is room", "driver/cover.c",
          "\tif (req->sibling_tries >= 0 &&\n", "\tif (false &&\n",
          "budget.sibling_keeps_what_is_not_needed"),
    Break("what the host refuses for itself empties siblings", "driver/cover.c",
          "\tif (cause == APPLE_DMA_FAIL_HOST)\n\t\treq->sibling_tries = 0;\n", "",
          "budget.refused_range_leaves_siblings_alone"),
    Break("a sibling is looked at once, whatever is in use", "driver/idle.c",
          "\twhile (sibling && !went && more) {\n", "\tif (sibling && !went && more) {\n",
          "budget.sibling_looks_behind_what_is_in_use"),
    Break("what a broken host may have made is room", "driver/window.c",
          "\t\tif (e->broken) {\n\t\t\tw->state = APPLE_DMA_WINDOW_DEAD;\n",
          "\t\tif (false) {\n\t\t\tw->state = APPLE_DMA_WINDOW_DEAD;\n",
          "budget.what_a_broken_host_may_have_is_counted"),

    # ---- aligned addresses and boundaries
    Break("closed fillers keep their room", "driver/cover.c",
          "\tif (cover_gives_back(e, &est, emptied)) {\n",
          "\tif (false && cover_gives_back(e, &est, emptied)) {\n",
          "align.closed_fillers_make_room"),
    Break("no filler goes in front of a window", "driver/align.c",
          "\tif (guess->sure && size && size < w->size &&\n",
          "\tif (false && size && size < w->size &&\n", "align.filler_costs_no_call"),
    Break("a candidate that the device does not reach is kept", "driver/align.c",
          "\t       c->iova + c->size - 1 <= req->mask;\n", "\t       true;\n",
          "align.candidates_are_reached"),
    Break("candidates may have any part of the budget", "driver/align.c",
          "\t\tif (w->size + more > min(left, most))\n", "\t\tif (w->size + more > most)\n",
          "align.candidates_keep_to_their_share"),
    Break("fillers stay until the whole list is mapped", "driver/cover.c",
          "\t\tif (!w->filler)\n\t\t\tcontinue;\n", "\t\tif (w)\n\t\t\tcontinue;\n",
          "align.filler_takes_no_room"),
    Break("hits may cross 4 GiB of device addresses", "driver/hit.h",
          "\t\t\t   !apple_dma_crosses(w->iova + (phys - w->phys), size,\n"
          "\t\t\t\t\t      U32_MAX) &&\n", "",
          "align.nothing_crosses_4_gib"),
    Break("hits of a list may cross the driver's boundary", "driver/map.c",
          "\tif (unlikely(boundary < U32_MAX))\n", "\tif (false)\n",
          "align.boundary_is_kept_to_by_hits"),

    # ---- lists
    Break("neighbours in a list get a window each", "driver/runs.c",
          "\t\truns_extend(run);\n", "\t\tif (false)\n\t\t\truns_extend(run);\n",
          "runs.a_run_is_one_window"),
    Break("an aligned block is put behind an odd granule", "driver/runs.c",
          "\t\t__set_bit(runs_block(phys), runs_blocks);\n", "\t\t(void)runs_blocks;\n",
          "runs.a_block_starts_its_run"),
    Break("what a list named stays named", "driver/runs.c",
          "\t\truns_fill(runs_missing, sg_phys(sg), sg_phys(sg) + sg->length,\n"
          "\t\t\t  false);\n", "",
          "runs.one_list_has_the_bits"),
    Break("a batch is full of granules that one window has", "driver/runs.c",
          "\t\truns_choose(run, shape, true);\n", "", "runs.longest_list"),

    # ---- one budget for all
    Break("two engines may take the same room", "driver/budget.c",
          "\t\tif ((u64)used + size > e->limits.bytes)\n\t\t\treturn false;\n", "",
          "budget.room_is_taken_once"),
    Break("idle windows of siblings are not taken", "driver/cover.c",
          "\twent = apple_dma_idle_evict_sibling(e, bytes);\n", "\twent = 0;\n",
          "budget.miss_takes_idle_windows_of_a_sibling"),
    Break("idle windows of siblings are taken when the own ones are gone", "driver/cover.c",
          "\tif (bytes && req->sibling_tries && apple_dma_budget_sibling_idler(e)) {\n",
          "\tif (false) {\n",
          "budget.who_keeps_most_idle_gives"),
    Break("idle windows of siblings are no room", "driver/budget.c",
          "\t*bytes = budget_sum(e).idle_bytes;\n", "",
          "budget.list_takes_what_it_needs_at_once"),
    Break("siblings may ask a host that goes away", "driver/engine.c",
          "\te->closed = true;\n\tapple_dma_budget_leave(e);\n", "\te->closed = true;\n",
          "budget.sibling_that_stops_is_left_alone"),
    Break("siblings may ask a companion that sleeps", "driver/engine.c",
          "\tapple_dma_budget_leave(e);\n\tspin_unlock_irqrestore(&e->lock, flags);\n"
          "\tsynchronize_rcu();\n",
          "\tspin_unlock_irqrestore(&e->lock, flags);\n\tsynchronize_rcu();\n",
          "budget.frozen_sibling_is_left_alone"),
    Break("what an engine had stays in the budget for ever", "driver/budget.c",
          "\tatomic64_sub(e->stats.mapped_bytes, &e->budget->used);\n", "",
          "budget.broken_sibling_is_left_alone"),
    Break("shapes ignore what siblings have", "driver/shape.c",
          "\tif (apple_dma_budget_has_all_ram(e))\n", "\tif (e->ram.bytes <= limit)\n",
          "budget.shapes_follow_the_room_of_all"),

    # ---- what the host teaches
    Break("a learned shape is a part of what was refused, and no power of the step",
          "driver/cover.c",
          "\twhile (shape > APPLE_DMA_GRANULE_SIZE && shape >= size)\n"
          "\t\tshape /= APPLE_DMA_SHAPE_STEP;\n",
          "\tshape = min(shape, size / 2);\n",
          "shape.refused_mixture_keeps_shapes"),
    Break("the refusal of one range is taken for a limit", "driver/budget.c",
          "\tif (r->disjoint)\n", "\tif (true)\n",
          "shape.refused_range_is_no_limit_when_all_is_busy"),
    Break("the host is not asked whether it takes back what went for a range that it refuses",
          "driver/cover.c",
          "\tif (went->size >= largest && cover_takes_back(e, went, fresh))\n",
          "\tif (went->size >= largest && false && cover_takes_back(e, went, fresh))\n",
          "shape.refused_range_is_no_limit"),

    # ---- drivers at fault
    Break("an address that was unmapped twice ends its neighbour", "driver/window.h",
          "\treturn (addr >> PAGE_SHIFT << 32) + 1;\n", "\treturn 1;\n",
          "map.unmapping_twice_ends_no_neighbour"),

    # ---- the device, its driver, the companion
    Break("ops are installed at the first bind only", "driver/managed.c",
          "\tset_dma_ops(dev, &ad->ops);\n",
          "\tif (ad->transport.doorbells < 2)\n\t\tset_dma_ops(dev, &ad->ops);\n",
          "managed.rebinding_is_two_doorbells", "debug"),
    Break("nothing is released at unbind", "driver/managed.c",
          "\treleased = apple_dma_engine_release(&ad->engine);\n", "\treleased = true;\n",
          "managed.forgotten_mappings_are_released", "debug"),
    Break("a driver that was bound before the module is left alone", "driver/managed.c",
          "\tbound = driver && ", "\tbound = false && ",
          "managed.device_bound_before_is_probed_again", "debug"),
    Break("a device that is removed is not let go of", "driver/managed.c",
          "\t\tif (m->dev == dev) {\n", "\t\tif (!m->dev) {\n",
          "managed.device_comes_late", "debug"),
    Break("a device that comes is not noticed", "driver/managed.c",
          "\tif (!apple_dma_claim_is(ad, to_pci_dev(dev)))\n",
          "\tif (!apple_dma_claim_is(ad, to_pci_dev(dev)) || !m->dev)\n",
          "managed.device_comes_late", "debug"),
    Break("memory of an earlier companion is not looked for", "driver/coherent.c",
          "\t\tif (!coherent_take(ad, page, taken))\n", "\t\tif (true)\n",
          "coherent.orphan_of_an_earlier_companion_is_freed", "debug"),
    Break("nothing is released at shutdown", "driver/main.c",
          "\tapple_dma_managed_quiesce(ad);\n\tapple_dma_engine_stop(&ad->engine);\n",
          "\tapple_dma_managed_quiesce(ad);\n",
          "main.shutdown_stops_the_device", "debug"),
    Break("the device is not stopped at shutdown", "driver/managed.c",
          "\t\tpci_clear_master(to_pci_dev(ad->managed.dev));\n", "",
          "main.shutdown_stops_the_device", "debug"),
    Break("a device that is taken for gone is not stopped at shutdown", "driver/managed.c",
          "\t\t__managed_bring_back(ad, ad->managed.dev);\n", "",
          "main.shutdown_stops_the_device", "debug"),

    # ---- who is waited for, what is asked once, and for how long
    Break("the search asks for handles again that a coarser pass has asked for",
          "driver/recover.c",
          "\t\tif (pass && IS_ALIGNED(*phys, recover_strides[pass - 1]))\n"
          "\t\t\tcontinue;\n",
          "",
          "recover.each_handle_is_released_once"),
    Break("after a sleep only one batch of windows is asked for again", "driver/engine.c",
          "\twhile (engine_ask_again(e, &phys, &moved))\n"
          "\t\t;\n",
          "\tengine_ask_again(e, &phys, &moved);\n",
          "idle.all_in_use_are_asked_for_again"),
    Break("idle windows go at the next look, whatever their age", "driver/idle.c",
          "\t\t.idle = msecs_to_jiffies(e->idle_ms),\n",
          "",
          "idle.only_old_ones_age"),
    Break("a change of mode retires the first 256 windows only", "driver/idle.c",
          "\t} while (i == LOOK_MAX);\n",
          "\t} while (0);\n",
          "idle.all_of_many_are_retired"),
    Break("what the host refused is believed for ever", "driver/budget.c",
          "\treturn !b->wait || time_after(jiffies, b->until);\n",
          "\treturn !b->wait;\n",
          "shape.refused_shape_is_retried_smaller"),
    Break("what the host refused is believed for 1,000 times as long", "driver/budget.c",
          "#define REFUSED_FOR\t(10 * HZ)\n",
          "#define REFUSED_FOR\t(10000 * HZ)\n",
          "shape.refused_again_is_left_alone_longer"),
    Break("a range that was refused for itself is refused for ever", "driver/budget.c",
          "\t\tif (budget_contains(&l->own[i], phys, size) &&\n"
          "\t\t    !budget_expired(&l->own_belief[i]))\n",
          "\t\tif (budget_contains(&l->own[i], phys, size))\n",
          "shape.hole_is_asked_for_again_later"),
    Break("suspend does not wait for the search to end", "driver/engine.c",
          "\tapple_dma_recover_stop(e);\n"
          "\tapple_dma_idle_flush(e, UINT_MAX, \"suspend\");\n",
          "\tapple_dma_idle_flush(e, UINT_MAX, \"suspend\");\n",
          "recover.search_ends_before_a_sleep"),
    Break("freeze does not wait for the search to end", "driver/engine.c",
          "\tengine_leave(e);\n"
          "\tapple_dma_recover_stop(e);\n"
          "}\n",
          "\tengine_leave(e);\n"
          "}\n",
          "recover.search_ends_before_an_image"),
    Break("the lock is kept between two batches of a list that is mapped", "driver/cover.c",
          "\t\t/* Let interrupts in after each doorbell. */\n"
          "\t\tapple_dma_engine_relock(e, flags);\n", "",
          "map.interrupts_are_let_in_between_batches"),
    Break("the lock is kept between two batches of a list that is unmapped", "driver/map.c",
          "\temptied->steps = 0;\n"
          "\tapple_dma_engine_relock(e, flags);\n",
          "\temptied->steps = 0;\n",
          "map.interrupts_are_let_in_between_batches"),
    Break("the lock is kept over all entries of a list", "driver/map.c",
          "\telse if (++emptied->steps < HOLD_STEPS)\n", "\telse\n",
          "map.interrupts_are_let_in_between_entries"),
    Break("entries that are mapped already are no steps", "driver/map.c",
          "\t\tmap_step(e, emptied, flags);\n"
          "\t\tif (*addr != DMA_MAPPING_ERROR)\n"
          "\t\t\tcontinue;\n",
          "\t\tif (*addr != DMA_MAPPING_ERROR)\n"
          "\t\t\tcontinue;\n"
          "\t\tmap_step(e, emptied, flags);\n",
          "map.hits_of_a_long_list_are_steps"),
    Break("a whole list is undone in one hold of the lock", "driver/map.c",
          "\t\tmap_step(e, emptied, flags);\n"
          "\t\tif (sg_dma_address(sg) == DMA_MAPPING_ERROR)\n",
          "\t\tif (sg_dma_address(sg) == DMA_MAPPING_ERROR)\n",
          "map.hits_of_a_long_list_are_steps"),
    Break("all that went idle is listed in one hold of the lock", "driver/window.c",
          "\tfor (i = 0; e->stack && i < WINDOW_DRAIN_MAX; i++) {\n",
          "\tfor (i = 0; e->stack; i++) {\n",
          "idle.many_go_in_short_holds"),
    Break("what is drained later counts as used later", "driver/window.c",
          "\t\tlist_add(&w->list, w->size > WINDOW_LARGE ? &e->drained_large :\n"
          "\t\t\t\t\t\t\t    &e->drained);\n",
          "\t\tlist_add_tail(&w->list, w->size > WINDOW_LARGE ? &e->drained_large :\n"
          "\t\t\t\t\t\t\t    &e->drained);\n",
          "idle.many_go_in_short_holds"),
    Break("all that a driver left is ended in one hold of the lock", "driver/engine.c",
          "\t\tif (!(++n % ENGINE_HOLD))\n"
          "\t\t\tapple_dma_engine_relock(e, &flags);\n",
          "\t\tn++;\n",
          "idle.many_are_left_in_short_holds"),
    Break("the search for leftovers makes no pause for I/O", "driver/recover.c",
          "\t\tif (now != seen)\n", "\t\tif (now < seen)\n",
          "recover.search_gives_way"),
    Break("a batch is as long as batch_max allows, whatever fits", "driver/engine.h",
          "\treturn min(e->limits.batch, e->host_ops->fit(e->host));\n",
          "\treturn e->limits.batch;\n",
          "map.batch_is_what_fits"),
    Break("one delay makes batches small for ever", "driver/transport.c",
          "\telse if (!refused)\n", "\telse if (!refused && !*cost)\n",
          "transport.delay_is_soon_forgotten"),
    Break("a quick refusal lowers the estimate of an entry", "driver/transport.c",
          "\telse if (!refused)\n", "\telse\n",
          "transport.slowest_kind_counts"),
    Break("a host that has become slow is not believed", "driver/transport.c",
          "\t\t*cost += DIV_ROUND_UP_ULL(entry - *cost, 8);\n", "\t\t;\n",
          "transport.slow_host_is_believed"),
    Break("the first batch is a full one", "driver/transport.c",
          "\tu64 fit = 2ULL * t->proven;\n", "\tu64 fit = APPLE_DMA_BATCH_MAX;\n",
          "transport.batches_grow"),
    Break("the lock is kept between two batches of idle windows", "driver/idle.c",
          "\t\tif (!left)\n"
          "\t\t\tbreak;\n"
          "\t\tapple_dma_engine_relock(e, flags);\n",
          "\t\tif (!left)\n"
          "\t\t\tbreak;\n",
          "map.long_list_fits_in_exact_granules"),
    Break("close does not wait for hits under way", "driver/engine.c",
          "\tengine_close(e);\n"
          "\tsynchronize_rcu();\n",
          "\tengine_close(e);\n",
          "engine.hits_are_waited_for"),
    Break("a change of mode does not wait for hits under way", "driver/engine.c",
          "\t/* No hit of the old mode is under way after this. */\n"
          "\tsynchronize_rcu();\n",
          "",
          "engine.hits_are_waited_for"),
    Break("large idle windows stay where room is short", "driver/idle.c",
          "\tif (!list_empty(&e->idle_large) || e->stack || !llist_empty(&e->freed))\n"
          "\t\te->stats.evictions += idle_give_back(e, &large);\n",
          "\t(void)large;\n",
          "idle.large_ones_go_where_room_is_short"),
    Break("all freed windows are kept", "driver/window.c",
          "\tif (e->spares == WINDOW_SPARES ||\n", "\tif (false ||\n",
          "window.memory_of_a_batch_is_kept"),
    Break("freed windows are kept before the reserve is full", "driver/window.c",
          "\t    READ_ONCE(e->pool->curr_nr) < e->pool->min_nr) {\n", "\t    false) {\n",
          "fail.strict_map"),
    Break("the alert about a broken host is never queued", "driver/window.c",
          "\tapple_dma_work_queue(&e->alert);\n",
          "",
          "engine.breach_is_told"),
    Break("notes in /proc/vmcore are taken for memory", "driver/oldmem.c",
          "\t\tif (phdr.p_type != PT_LOAD || !phdr.p_memsz ||\n",
          "\t\tif (!phdr.p_memsz ||\n",
          "oldmem.memory_of_the_crashed_kernel_is_known"),
    Break("memory that ends beyond the last address is believed", "driver/oldmem.c",
          "\t\tif (phdr.p_type != PT_LOAD || !phdr.p_memsz ||\n"
          "\t\t    phdr.p_paddr > PHYS_ADDR_MAX - phdr.p_memsz)\n",
          "\t\tif (phdr.p_type != PT_LOAD || !phdr.p_memsz)\n",
          "oldmem.memory_of_the_crashed_kernel_is_known"),
    Break("any number of pieces is read from /proc/vmcore", "driver/oldmem.c",
          "\t       ehdr->e_phnum && ehdr->e_phnum <= OLD_RANGES_MAX;\n",
          "\t       ehdr->e_phnum;\n",
          "oldmem.what_is_no_vmcore_is_ignored"),
    Break("a header that was read in part is believed", "driver/oldmem.c",
          "\treturn kernel_read(file, buf, size, &pos) == size;\n",
          "\treturn kernel_read(file, buf, size, &pos) >= 0;\n",
          "oldmem.short_vmcore_has_less"),
    Break("/proc/vmcore is left open", "driver/oldmem.c",
          "\tfilp_close(file, NULL);\n",
          "",
          "oldmem.memory_of_the_crashed_kernel_is_known"),
    Break("the pieces are looked for right behind the first header", "driver/oldmem.c",
          "\t\t\t\t    ehdr->e_phoff + i * sizeof(phdr)))\n",
          "\t\t\t\t    sizeof(*ehdr) + i * sizeof(phdr)))\n",
          "oldmem.memory_of_the_crashed_kernel_is_known"),
    Break("an engine without a table of memory is not destroyed", "driver/engine.c",
          "\tif (err) {\n"
          "\t\tapple_dma_engine_destroy(e);\n"
          "\t\treturn err;\n"
          "\t}\n",
          "\tif (err)\n"
          "\t\treturn err;\n",
          "fail.engine_start", report="Objects remaining in apple_dma_window"),
    Break("a driver may map after the host gave its windows other addresses", "driver/engine.c",
          "\tif (moved)\n\t\tengine_close(e);\n", "",
          "idle.swapped_addresses_are_not_used"),
)
