//! What may happen to a key, cut off at every point and failed at its commit.

use super::*;

/// What was there, and what happens then.
const SCENARIOS: [(&[Step], Step); 36] = [
    (&[], Step::Put(OFF)),
    (&[Step::Put(OFF)], Step::Put(OFF)),
    (&[Step::Put(OFF)], Step::RemoveCurrent),
    (&[Step::Put(OFF)], Step::Put(ON)),
    (&[Step::Put(OFF), Step::Put(ON)], Step::Put(ON)),
    (&[Step::Put(OFF), Step::Put(ON)], Step::Mark(ON)),
    (&[Step::Put(ON), Step::Mark(ON)], Step::Put(ON)),
    (&[Step::Put(ON), Step::Mark(ON)], Step::Remove(2)),
    (&[Step::Put(ON), Step::Mark(ON), Step::Mark(ON)], Step::Remove(3)),
    (&[Step::Put(ON), Step::Put(ON)], Step::RemoveCurrent),
    (&[Step::Put(ON), Step::Put(ON)], Step::Remove(1)),
    (&[Step::Mark(ON), Step::Put(ON)], Step::RemoveCurrent),
    (&[Step::Put(OFF), Step::Put(ON)], Step::Put(SUSPENDED)),
    (&[Step::Put(ON), Step::Put(SUSPENDED)], Step::Put(SUSPENDED)),
    (&[Step::Put(OFF), Step::Put(ON)], Step::Mark(SUSPENDED)),
    (&[Step::Put(ON), Step::Mark(SUSPENDED)], Step::Put(SUSPENDED)),
    // The same with bytes in the index, and from there to a file and back.
    (&[], Step::PutSmall(OFF)),
    (&[Step::PutSmall(OFF)], Step::PutSmall(OFF)),
    (&[Step::PutSmall(OFF)], Step::Put(OFF)),
    (&[Step::Put(OFF)], Step::PutSmall(OFF)),
    (&[Step::PutSmall(OFF)], Step::RemoveCurrent),
    (&[Step::PutSmall(OFF)], Step::Put(ON)),
    (&[Step::Put(OFF)], Step::PutSmall(ON)),
    (&[Step::PutSmall(ON)], Step::PutSmall(ON)),
    (&[Step::PutSmall(ON)], Step::Mark(ON)),
    (&[Step::PutSmall(ON), Step::Mark(ON)], Step::Remove(2)),
    (&[Step::PutSmall(ON), Step::Put(ON)], Step::RemoveCurrent),
    (&[Step::Put(ON), Step::PutSmall(ON)], Step::RemoveCurrent),
    (&[Step::PutSmall(ON), Step::PutSmall(ON)], Step::RemoveCurrent),
    (&[Step::PutSmall(ON), Step::Put(ON)], Step::Remove(1)),
    (&[Step::Put(ON), Step::PutSmall(ON)], Step::Remove(1)),
    (&[Step::Mark(ON), Step::PutSmall(ON)], Step::RemoveCurrent),
    (&[Step::PutSmall(OFF), Step::Put(ON)], Step::PutSmall(SUSPENDED)),
    (&[Step::Put(OFF), Step::PutSmall(ON)], Step::Put(SUSPENDED)),
    (&[Step::PutSmall(OFF), Step::PutSmall(ON)], Step::Mark(SUSPENDED)),
    (&[Step::PutSmall(ON), Step::Mark(SUSPENDED)], Step::PutSmall(SUSPENDED)),
];

#[test]
fn a_change_without_files_writes_no_journal() {
    for (setup, step) in SCENARIOS {
        let is_small = |step: &Step| !matches!(step, Step::Put(_));
        let mut world = World::new(setup);
        world.trial = format!("{setup:?} then {step:?}");
        let plan = world.plan(step);
        let touches_files = !plan.change.moves.is_empty() || !plan.change.superfluous.is_empty();
        if setup.iter().chain([&step]).all(is_small) {
            assert!(!touches_files, "{}", world.trial);
        }
        let entry = || fs::read(world.dir.path().join(journal::NAME)).expect("read");
        let before = entry();
        world.files.make(&mut world.index, &plan.change, &plan.rows).expect("made");
        assert_eq!(entry() != before, touches_files, "{}", world.trial);
    }
}

#[test]
fn a_change_that_is_cut_off_is_made_whole_or_not_at_all() {
    for (setup, step) in SCENARIOS {
        let after = {
            let mut world = World::new(setup);
            world.make(step);
            world.state()
        };
        let moves = World::new(setup).plan(step).change.moves.len();
        // Cut 0 is before the journal; the last is after everything.
        for cut in 0..=moves + 3 {
            let mut world = World::new(setup);
            world.trial = format!("{setup:?} then {step:?}, cut at {cut}");
            let before = world.state();
            let plan = world.plan(step);
            if cut > 0 {
                world.files.journal.write(&plan.change).expect("written");
            }
            let mut made = plan.change.clone();
            made.moves.truncate(cut.saturating_sub(1));
            world.files.make_moves(&made).expect("moved");
            let is_committed = cut >= moves + 2;
            if is_committed {
                world.index.apply(&plan.rows).expect("committed");
            }
            if cut == moves + 3 {
                world.files.finish(&plan.change);
            }
            world.restart();
            let expected = if is_committed { &after } else { &before };
            assert_eq!(&world.state(), expected, "{}", world.trial);
            world.restart();
            assert_eq!(&world.state(), expected, "a second start changes nothing");
            if !is_committed {
                world.number -= 1;
                world.make(step);
                assert_eq!(world.state(), after, "{step:?} again");
            }
        }
    }
}

#[test]
fn a_change_whose_commit_fails_is_taken_back_at_once() {
    for (setup, step) in SCENARIOS {
        let mut world = World::with(setup, Fsync::Always);
        let before = world.state();
        let plan = world.plan(step);
        world.fail_to_make(&plan);
        assert!(!world.files.has_open());
        assert_eq!(world.state(), before, "{setup:?} then {step:?}");
        // The staging file came back, for its owner to remove.
        world.files.make(&mut world.index, &plan.change, &plan.rows).expect("made");
        assert_ne!(world.state(), before);
    }
}

#[test]
fn what_was_taken_back_is_not_touched_again_by_a_later_start() {
    for (setup, step) in SCENARIOS {
        let mut world = World::new(setup);
        world.trial = format!("{setup:?} then {step:?}");
        let before = world.state();
        let plan = world.plan(step);
        world.fail_to_make(&plan);
        // The owner of the staging file removes it, or the start does.
        world.restart();
        assert_eq!(world.state(), before, "{}", world.trial);
        // The number was not kept, so another change may get it, and that one may be without files.
        let number = plan.rows.number;
        let (change, rows) = (Change::new(BUCKET, "other", number), Rows::new(BUCKET, "other", number));
        world.files.make(&mut world.index, &change, &rows).expect("made");
        world.restart();
        assert_eq!(world.state(), before, "{}", world.trial);
    }
}

#[test]
fn a_power_cut_that_takes_the_staged_file_takes_nothing_else() {
    for (setup, step) in SCENARIOS {
        let mut world = World::new(setup);
        world.trial = format!("{setup:?} then {step:?}");
        let before = world.state();
        let plan = world.plan(step);
        world.files.journal.write(&plan.change).expect("written");
        sweep(&world.dir.path().join(STAGING), |_| false).expect("swept");
        world.restart();
        assert_eq!(world.state(), before, "{}", world.trial);
    }
}
