// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use proptest::prelude::*;
use std::{collections::VecDeque, vec::Vec};

fn conf() -> DiskConf {
    DiskConf::default()
}

/// A link and a disk: what goes in comes out after `latency`, and no more than `bandwidth` sectors in a second.
struct Pipe {
    bandwidth: u64,
    latency: u64,
    /// When it is free again, in thousandths of a millisecond.
    free_at: u64,
    under_way: VecDeque<(u64, u64)>,
    content: u64,
}

struct Run {
    pace: Pace,
    goal: Goal,
    pipe: Pipe,
    now: u64,
    /// By millisecond: asked for, delivered, under way.
    history: Vec<(u64, u64, u64)>,
}

impl Run {
    fn new(goal: Goal, bandwidth: u64, latency: u64) -> Self {
        Self {
            pace: Pace::new(0),
            goal,
            pipe: Pipe {
                bandwidth,
                latency,
                free_at: 0,
                under_way: VecDeque::new(),
                content: 0,
            },
            now: 0,
            history: Vec::new(),
        }
    }

    fn in_flight(&self) -> u64 {
        self.pipe.content
    }

    fn ask(&mut self) -> u64 {
        let mut asked = 0;
        loop {
            let in_flight = self.in_flight();
            let sectors = self.pace.allowance(self.now, in_flight, &self.goal, None);
            if sectors == 0 {
                return asked;
            }
            assert!(sectors % 8 == 0 && sectors <= self.goal.unit.max(1024));
            self.pace.asked(sectors);
            asked += sectors;
            let pipe = &mut self.pipe;
            pipe.content += sectors;
            pipe.free_at = pipe.free_at.max(self.now * 1000) + sectors * 1_000_000 / pipe.bandwidth;
            pipe.under_way
                .push_back((pipe.free_at.div_ceil(1000) + pipe.latency, sectors));
        }
    }

    /// As the engine does: requests leave when something was written, and at each tick of the timer.
    fn play(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            let mut delivered = 0;
            while let Some((at, sectors)) = self.pipe.under_way.front().copied() {
                if at > self.now {
                    break;
                }
                self.pipe.under_way.pop_front();
                self.pipe.content -= sectors;
                self.pace.delivered(sectors);
                delivered += sectors;
            }
            let asked = if delivered > 0 || self.now % 10 == 0 {
                self.ask()
            } else {
                0
            };
            self.history.push((asked, delivered, self.in_flight()));
            self.now += 1;
        }
    }

    /// The middle of what was under way in the last second.
    fn standing(&self) -> u64 {
        let last = &self.history[self.history.len() - 1000..];
        last.iter().map(|(_, _, in_flight)| in_flight).sum::<u64>() / 1000
    }

    /// Delivered in the last second.
    fn speed(&self) -> u64 {
        let last = &self.history[self.history.len() - 1000..];
        last.iter().map(|(_, delivered, _)| delivered).sum()
    }
}

fn about(value: u64, wanted: u64, percent: u64) {
    assert!(
        value.abs_diff(wanted) <= wanted * percent / 100,
        "{value} is not within {percent}% of {wanted}"
    );
}

#[test]
fn fill_target_is_what_waits_beyond_an_interval() {
    for (bandwidth, fill) in [(20_000, 100), (20_000, 2000), (4000, 500), (40_000, 3000)] {
        let mut conf = conf();
        conf.c_fill_target = fill;
        let mut run = Run::new(Goal::new(&conf, 131_072), bandwidth, 2);
        run.play(10_000);
        about(run.standing(), u64::from(fill) + bandwidth / 10, 25);
        about(run.speed(), bandwidth, 5);
    }
}

#[test]
fn delay_target_is_how_long_a_block_is_on_its_way() {
    for (bandwidth, delay) in [(20_000, 2), (20_000, 10), (4000, 5), (2000, 20)] {
        let mut conf = conf();
        conf.c_fill_target = 0;
        conf.c_delay_target = delay;
        let mut run = Run::new(Goal::new(&conf, 131_072), bandwidth, 2);
        run.play(20_000);
        about(run.standing(), bandwidth * u64::from(delay) / 10, 25);
        about(run.speed(), bandwidth, 5);
    }
}

#[test]
fn a_guess_too_high_is_only_where_it_begins() {
    for (fill, delay, standing) in [(100, 10, 300), (0, 2, 400)] {
        let mut conf = conf();
        conf.resync_rate = 1_000_000;
        conf.c_fill_target = fill;
        conf.c_delay_target = delay;
        let mut run = Run::new(Goal::new(&conf, 2048), 2000, 2);
        run.play(60);
        assert!(run.in_flight() > 6000, "{}", run.in_flight());
        run.play(30_000);
        about(run.standing(), standing, 25);
        about(run.speed(), 2000, 5);
    }
}

#[test]
fn a_delay_that_no_block_keeps_is_no_standstill() {
    let mut conf = conf();
    conf.c_fill_target = 0;
    conf.c_delay_target = 1;
    let mut run = Run::new(Goal::new(&conf, 2048), 100_000, 400);
    run.play(60_000);
    about(run.standing(), LEAST_WINDOW, 5);
}

#[test]
fn a_fast_pipe_is_filled_to_the_highest_rate() {
    let mut run = Run::new(Goal::new(&conf(), 2048), 4_000_000, 1);
    run.play(4_000);
    about(run.speed(), 204_800, 5);
    about(run.pace.wanted(&run.goal), 102_400, 10);
}

#[test]
fn a_long_pipe_needs_its_content_as_fill_target() {
    let mut conf = conf();
    let mut small = Run::new(Goal::new(&conf, 131_072), 100_000, 200);
    small.play(20_000);
    conf.c_fill_target = 20_000;
    let mut large = Run::new(Goal::new(&conf, 131_072), 100_000, 200);
    large.play(20_000);
    assert!(small.speed() < 2000, "{}", small.speed());
    about(large.speed(), 100_000, 5);
}

#[test]
fn without_controller_the_rate_is_fixed() {
    for rate in [1, 2, 39, 250, 10_000, 1_000_000] {
        let mut conf = conf();
        conf.c_plan_ahead = 0;
        conf.resync_rate = rate;
        let mut run = Run::new(Goal::new(&conf, 2048), 8_000_000, 1);
        run.play(20_000);
        let delivered: u64 = run.history.iter().map(|(_, delivered, _)| delivered).sum();
        let wanted = u64::from(rate) * 2 * 20;
        assert!(
            delivered.abs_diff(wanted) <= wanted / 20 + 16,
            "{rate}: {delivered}"
        );
        assert_eq!(run.pace.wanted(&run.goal), u64::from(rate));
    }
}

#[test]
fn slow_is_not_in_bursts() {
    let mut conf = conf();
    conf.c_max_rate = 250;
    let mut run = Run::new(Goal::new(&conf, 2048), 8_000_000, 1);
    run.play(5_000);
    assert!(run.history.iter().all(|(asked, _, _)| *asked <= 48));
    about(run.speed(), 500, 10);
}

#[test]
fn a_unit_goes_at_any_speed() {
    let mut conf = conf();
    conf.c_max_rate = 250;
    let mut goal = Goal::new(&conf, 2048);
    goal.unit = 2048;
    let mut run = Run::new(goal, 8_000_000, 1);
    run.play(40_000);
    assert!(run.history.iter().all(|(asked, _, _)| asked % 2048 == 0));
    let delivered: u64 = run.history.iter().map(|(_, delivered, _)| delivered).sum();
    about(delivered, 500 * 40, 15);
}

#[test]
fn a_rate_of_the_moment_holds_beside_the_goal() {
    let goal = Goal::new(&conf(), 2048);
    let mut pace = Pace::new(0);
    let mut asked = 0;
    for now in 0..10_000 {
        let sectors = pace.allowance(now, 0, &goal, Some(500));
        pace.asked(sectors);
        asked += sectors;
    }
    about(asked, 5000, 3);
}

#[test]
fn others_are_seen_and_the_resync_itself_is_not() {
    let mut courtesy = Courtesy::default();
    let mut done = 5_000_000;
    courtesy.look(0, done);
    for step in 1..50 {
        // Started and not yet done, then done.
        courtesy.own_io(8192);
        courtesy.look(step * 200, done);
        done += 8192;
        courtesy.look(step * 200 + 100, done);
        assert!(courtesy.may_read(step * 200 + 100, 250, 1024));
    }
    done += 65;
    courtesy.look(20_000, done);
    assert_eq!(courtesy.rate(20_000, 250), Some(500));
    assert_eq!(courtesy.rate(20_000, 0), None);
    assert_eq!(courtesy.rate(20_300, 250), None);
}

#[test]
fn a_little_io_of_others_is_no_load() {
    let mut courtesy = Courtesy::default();
    courtesy.look(0, 0);
    courtesy.look(100, 64);
    assert_eq!(courtesy.rate(100, 250), None);
}

#[test]
fn a_source_keeps_to_the_low_rate_while_others_work() {
    let mut courtesy = Courtesy::default();
    courtesy.look(0, 0);
    let (mut done, mut read) = (0, 0);
    for now in 0..20_000_u64 {
        if courtesy.is_due(now) {
            done += 1000;
            courtesy.look(now, done);
        }
        if courtesy.may_read(now, 250, 1024) && now >= 100 {
            courtesy.own_io(1024);
            read += 1024;
            done += 1024;
        }
    }
    about(read, 500 * 20, 15);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_the_options_it_never_stalls(
        resync_rate in 0..u32::MAX, plan in prop_oneof![0..5_u32, 0..301_u32, Just(u32::MAX)],
        fill in prop_oneof![Just(0), 0..2000_u32, Just(u32::MAX)], delay in 0..101_u32,
        most in prop_oneof![1..2000_u32, 0..u32::MAX], buffers in prop_oneof![0..100_u32, Just(2048), Just(131_072)],
        bandwidth in 1000..100_000_u64, latency in 0..400_u64,
    ) {
        let mut conf = conf();
        conf.resync_rate = resync_rate.max(40);
        conf.c_plan_ahead = plan;
        conf.c_fill_target = fill;
        conf.c_delay_target = delay;
        conf.c_max_rate = most.max(40);
        let goal = Goal::new(&conf, buffers);
        let mut run = Run::new(goal, bandwidth, latency);
        run.play(3000);
        prop_assert!(run.speed() >= 8);
        for (_, _, in_flight) in &run.history {
            prop_assert!(*in_flight <= goal.ceiling.max(8));
        }
        // Never more than the rate, but for what may be spent at once.
        let rate = goal.rate();
        let asked: u64 = run.history.iter().map(|(asked, _, _)| asked).sum();
        prop_assert!(asked <= rate.saturating_mul(3) + (rate / 10).max(1024));
    }

    #[test]
    fn any_numbers_in_any_order(
        steps in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<Option<u64>>()), 1..50),
        goal in (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()),
    ) {
        let goal = Goal { fixed_rate: goal.0, steps: goal.1, fill: goal.2, delay: goal.3, most_rate: goal.4, unit: 256, ceiling: goal.5 };
        let mut pace = Pace::new(0);
        let mut courtesy = Courtesy::default();
        for (now, sectors, in_flight, rate) in steps {
            let allowed = pace.allowance(now, in_flight, &goal, rate);
            prop_assert!(allowed <= 1024 && allowed % 8 == 0);
            pace.asked(sectors);
            pace.delivered(sectors);
            let _ = pace.wanted(&goal);
            courtesy.own_io(in_flight);
            courtesy.look(now, sectors);
            let _ = courtesy.may_read(now, u32::MAX, in_flight);
        }
    }
}
