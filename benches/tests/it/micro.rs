//! Every micro-benchmark gives its right answer, twice: the second iteration must not live on what the first left behind.

use lakebed_bench::{Size, Work, all};

#[test]
fn every_micro_benchmark_gives_its_right_answer() {
    let mut names = Vec::new();
    for mut micro in all(Size::small()) {
        assert!(micro.expect > 0, "{}: an empty input answers nothing", micro.name);
        assert!(micro.question.ends_with('?'), "{}: no question", micro.name);
        assert!(!matches!(micro.work, Work::Elements(0) | Work::Bytes(0)), "{}: no work", micro.name);
        for _ in 0..2 {
            assert_eq!(micro.run(), micro.expect, "{}", micro.name);
        }
        names.push(micro.name);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "names are unique: {names:?}");
}
