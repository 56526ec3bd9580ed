// SPDX-License-Identifier: GPL-2.0-only

//! Seeds that once failed, by what they found. The story of a seed changes with the engine and with the simulator: most of
//! these are other stories by now, and good ones still.

use bumpalo::Bump;
use drbd_sim::world::World;

fn play(seed: u64) {
    let arena = Bump::new();
    let mut world = World::chaotic(&arena, seed);
    world.play();
    assert_eq!(
        world.failures,
        Vec::<String>::new(),
        "make sim SEED={seed} tells the story"
    );
}

macro_rules! seeds {
    ($($name:ident = $seed:literal,)+) => {
        $(
            #[test]
            fn $name() {
                play($seed);
            }
        )+
    };
}

seeds! {
    demotion_before_everything_was_stable = 10,
    sync_uuid_sent_before_it_was_stable = 58,
    resynced_blocks_lost_in_the_cache = 41,
    invalidated_primary_loses_its_peer = 116,
    attach_without_a_look_at_the_uuids = 175,
    read_overtakes_a_write = 55,
    exposed_data_without_a_name = 147,
    target_whose_source_detached = 350,
    diskless_primary_introduces_itself = 26,
    diskless_primary_introduces_itself_again = 281,
    held_requests_forgotten = 1327,
    new_disks_invalidated = 1694,
    attaching_disk_failed_before_it_was_announced = 1799,
    two_disks_given_up_at_once = 3013,
    source_that_reboots_before_its_target_noted_the_start = 100088833,
    two_disks_attached_at_once = 4272,
    activity_log_suspended_while_connected = 4691,
    outdated_disk_meets_a_diskless_peer = 7794,
    both_disconnect_during_a_resync = 3122,
    inconsistent_disk_outdated = 5252,
    source_that_passes_errors_on = 530,
    cache_of_a_disk_that_was_attached_again = 7719,
    answer_to_an_earlier_resync = 6093,
    name_of_a_disk_that_failed_at_once = 187,
    disk_given_up_while_its_log_waited_for_a_flush = 254,
    disk_failed_before_the_peer_heard_whose_data_it_is = 1006388,
    consent_to_a_detach_is_lost = 80230,
    writes_on_their_way_after_a_wish_to_detach = 1035655,
    barrier_acknowledged_after_the_disk_had_failed = 1014194,
    disk_flushed_after_it_was_idle = 1034217,
    target_finished_while_its_source_pulled_ahead = 1022495,
    source_ahead_waits_for_a_word_about_a_late_block = 1026296,
    failed_disk_promoted_by_force = 1029181,
    slow_cable_is_no_stalled_one = 1037365,
    verify_wanted_in_a_handshake = 1548,
    uuid_of_a_resync_that_was_over = 20010,
    bitmap_of_a_disk_about_to_be_closed = 45799,
    two_writes_of_one_page_of_the_bitmap = 6001544,
    target_to_be_that_wants_to_detach = 20087054,
    both_attach_in_a_split_brain = 100049722,
    answer_to_a_part_of_a_broken_batch = 40004245,
    disk_smaller_than_what_the_peer_has = 100003197,
    demoted_while_a_flush_was_under_way = 100062279,
    late_uuids_of_a_target_that_was_done = 100053069,
    name_of_a_target_that_was_done = 42001807,
    power_cut_with_protocol_b = 201087042,
    disk_refused_for_an_old_protocol = 200003824,
    inconsistent_disk_wants_to_be_the_source = 201092006,
    crash_before_the_superblock_says_primary = 201174318,
    invalidated_by_a_disk_that_is_being_attached = 201221046,
    never_used_disk_becomes_source_after_a_crash = 201185762,
    bitmap_of_an_exchange_that_was_given_up = 300026835,
    two_targets = 400027806,
    target_that_went_round = 110004086,
    consent_to_detach_before_the_superblock = 42003104,
    early_target_of_a_source_that_rebooted = 600019994,
    name_of_a_target_that_was_done_after_a_reboot = 640049733,
    new_name_beside_a_bitmap_uuid = 640086025,
    write_that_fails_on_a_target = 1114274,
    name_that_never_reached_the_disk = 610000509,
    early_target_that_missed_several_starts = 600095961,
    read_before_the_slower_disk_had_it = 2012766,
    rest_of_a_bitmap = 2013982,
    bitmap_that_nobody_awaits = 2112823,
    full_resync_that_its_target_never_noted = 1108855,
    full_resync_and_two_losses_of_power = 2122355,
    flush_that_failed = 2173541,
    attached_twice_while_the_cable_stalled = 4023587,
    consent_on_its_way_at_the_end_of_a_resync = 4045889,
    inconsistent_primary_and_an_old_protocol = 5006650,
    refusal_that_overtook_the_loss_of_the_disk = 5068318,
    idle_disk_as_the_nodes_meet = 4183671,
    invalidate_remote_and_a_disk_that_fails = 5051742,
    handler_of_a_resync_that_was_given_up = 4101418,
    paused_source_with_nothing_to_send = 4072438,
    forced_as_the_peer_attaches = 6002660,
    detach_as_the_target_is_almost_done = 7145637,
    refusals_that_come_after_the_bitmap = 7177330,
    older_block_brought_back_and_lost = 7146728,
    declared_good_without_a_peer = 8097416,
    invalidated_as_the_peer_dies = 10378826,
    refused_and_attached_again = 10412137,
    disk_that_forgot_that_it_is_inconsistent = 10630037,
    sync_uuid_before_a_bitmap = 10653482,
    state_faster_than_its_answer = 40095052,
    peer_that_comes_and_goes_behind_a_handler = 60001685,
    blocks_that_failed_at_first = 70567214,
    last_writes_before_a_disconnect = 90155568,
    pulls_ahead_again_and_again = 90167848,
    another_volume_that_an_old_peer_refuses = 130138746,
    attached_alone_after_it_had_failed = 140488431,
    last_disk_invalidated = 150351664,
    promoted_as_its_target_is_done = 150341042,
    ahead_of_a_disk_that_was_attached_again = 200416651,
    question_of_an_earlier_resync = 200918979,
    no_good_disk_of_another_volume = 200902753,
    marks_behind_a_write_of_the_bitmap = 220028270,
}

#[test]
fn some_more() {
    for seed in 20_000..20_040 {
        play(seed);
    }
}
