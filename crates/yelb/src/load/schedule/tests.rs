use proptest::prelude::*;

use super::*;

fn shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![Just(Shape::Constant), Just(Shape::Ramp), Just(Shape::Spike)]
}

/// The rate at a moment, said once more and without legs.
fn rate_at(shape: Shape, rate: f64, peak: f64, part: f64) -> f64 {
    match shape {
        Shape::Ramp => rate + (peak - rate) * part,
        Shape::Spike if (1.0 / 3.0..2.0 / 3.0).contains(&part) => peak,
        Shape::Constant | Shape::Spike => rate,
    }
}

/// Its integral up to a part of the duration, by the midpoints of many thin slices.
fn integral(shape: Shape, rate: f64, peak: f64, seconds: f64, part: f64) -> f64 {
    const SLICES: u32 = 50_000;
    let thickness = part / f64::from(SLICES);
    let slices = (0..SLICES).map(|slice| (f64::from(slice) + 0.5) * thickness);
    slices.map(|at| rate_at(shape, rate, peak, at)).sum::<f64>() * thickness * seconds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn as_many_arrive_as_the_rate_adds_up_to(
        shape in shapes(), rate in 1.0..5000.0_f64, peak in 1.0..5000.0_f64, seconds in 0.5..20.0_f64,
        part in 0.01..1.0_f64,
    ) {
        let duration = Duration::from_secs_f64(seconds);
        let schedule = Schedule::new(shape, rate, peak, duration);
        let due = schedule.due_by(duration.mul_f64(part));
        let wanted = integral(shape, rate, peak, seconds, part);
        // A slice that straddles a jump of the rate is off by its own arrivals.
        let sliver = 5000.0 * seconds / 50_000.0;
        prop_assert!((real(due) - wanted).abs() <= 1.0 + sliver, "{due} of {wanted}");
        let wanted = integral(shape, rate, peak, seconds, 1.0);
        prop_assert!((real(schedule.total) - wanted).abs() <= 1.0 + sliver);
    }

    #[test]
    fn nothing_is_due_before_what_comes_before_it(
        shape in shapes(), rate in 1.0..500.0_f64, peak in 1.0..5000.0_f64, seconds in 0.5..5.0_f64,
    ) {
        let schedule = Schedule::new(shape, rate, peak, Duration::from_secs_f64(seconds));
        let mut last = Duration::ZERO;
        for number in 0..schedule.total {
            let due = schedule.due(number);
            prop_assert!(due >= last && due <= schedule.duration);
            // What is due when is told in the same way from both sides.
            let (sooner, later) = (due.saturating_sub(Duration::from_micros(1)), due + Duration::from_micros(1));
            prop_assert!(schedule.due_by(sooner) <= number + 1 && schedule.due_by(later) > number);
            last = due;
        }
        prop_assert_eq!(schedule.due_by(schedule.duration), schedule.total);
    }
}

#[test]
fn a_constant_rate_has_a_constant_gap() {
    let schedule = Schedule::new(Shape::Constant, 300.0, 300.0, Duration::from_secs(2));
    assert_eq!(schedule.total, 600);
    let gap = schedule.due(401).abs_diff(schedule.due(400));
    assert!(gap.abs_diff(Duration::from_secs_f64(1.0 / 300.0)) < Duration::from_micros(1));
}

#[test]
fn a_spike_is_in_the_middle_third() {
    let schedule = Schedule::new(Shape::Spike, 10.0, 90.0, Duration::from_secs(3));
    let by = |seconds| schedule.due_by(Duration::from_secs(seconds));
    assert_eq!((by(1), by(2), by(3)), (10, 100, 110));
}

#[test]
fn a_ramp_begins_at_the_rate_and_ends_at_the_peak() {
    let schedule = Schedule::new(Shape::Ramp, 10.0, 30.0, Duration::from_secs(2));
    let by = |seconds| schedule.due_by(Duration::from_secs(seconds));
    // 10/s to 20/s in the first second, 20/s to 30/s in the second one.
    assert_eq!((by(0), by(1), by(2)), (0, 15, 40));
}
