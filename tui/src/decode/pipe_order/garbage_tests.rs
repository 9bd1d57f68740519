//! Arbitrary input: no panic, at most one answer a call, bounded state.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Enter(u64, u64, u64, bool, u8, Option<u64>, Option<Sample>),
    Exit(u64, u64, i64, Option<Sample>),
    Out(u64, u64, bool, Option<Sample>),
    In(u64, u64, Option<Sample>),
    Contended(u64, Option<Layout>),
    Layout(u64, Layout),
    Lost(u64),
    Resize(u32),
    Advance(u64),
    Flush,
}

fn position() -> impl Strategy<Value = Position> {
    (0..6_u32, 0..6_u32, prop_oneof![0..6_u32, Just(4096), any::<u32>()], prop_oneof![Just(0), any::<u32>()])
        .prop_map(|(head, tail, write_end, read_offset)| Position { head, tail, write_end, read_offset })
}

fn sample() -> impl Strategy<Value = Option<Sample>> {
    let word = || prop_oneof![Just(0_u64), 1..5_u64];
    let sample =
        (position(), position(), any::<bool>(), word(), word()).prop_map(|(before, other, same, first, last)| Sample {
            before,
            after: if same { before } else { other },
            owner_before: first,
            owner_after: last,
        });
    proptest::option::of(sample)
}

fn layout() -> impl Strategy<Value = Layout> {
    let buffer = (0..4097_u32, prop_oneof![0..4097_u32, any::<u32>()], any::<bool>(), any::<bool>())
        .prop_map(|(offset, len, can_merge, packet)| Buffer { offset, len, can_merge, packet });
    (any::<u32>(), proptest::collection::vec(buffer, 0..4)).prop_map(|(tail, buffers)| Layout {
        head: tail.wrapping_add(buffers.len() as u32),
        tail,
        buffers,
    })
}

fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![0..9000_u64, any::<u64>()]
}

fn step() -> impl Strategy<Value = Step> {
    let (time, call) = (|| 0..50_u64, || 0..6_u64);
    prop_oneof![
        6 => (time(), call(), 1..5_u64, any::<bool>(), 0..4_u8, proptest::option::of(bytes()), sample())
            .prop_map(|(t, c, task, read, method, n, s)| Step::Enter(t, c, task, read, method, n, s)),
        6 => (time(), call(), prop_oneof![-520..9000_i64, any::<i64>()], sample())
            .prop_map(|(t, c, ret, s)| Step::Exit(t, c, ret, s)),
        2 => (time(), call(), any::<bool>(), sample()).prop_map(|(t, c, a, s)| Step::Out(t, c, a, s)),
        2 => (time(), call(), sample()).prop_map(|(t, c, s)| Step::In(t, c, s)),
        1 => (time(), proptest::option::of(layout())).prop_map(|(t, l)| Step::Contended(t, l)),
        1 => (time(), layout()).prop_map(|(t, l)| Step::Layout(t, l)),
        1 => time().prop_map(Step::Lost),
        1 => any::<u32>().prop_map(Step::Resize),
        1 => time().prop_map(Step::Advance),
        1 => Just(Step::Flush),
    ]
}

fn apply(order: &mut PipeOrder, step: Step) {
    match step {
        Step::Enter(time, call, task, read, method, requested, sample) => {
            let side = if read { Side::Read } else { Side::Write };
            let method = match method {
                0 => Method::Packet,
                1 => Method::Opaque,
                2 => Method::Peek,
                _ => Method::Plain,
            };
            order.enter(time, call, task, side, method, requested, sample);
        }
        Step::Exit(time, call, ret, sample) => order.exit(time, call, ret, sample),
        Step::Out(time, call, asleep, sample) => order.switch_out(time, call, asleep, sample),
        Step::In(time, call, sample) => order.switch_in(time, call, sample),
        Step::Contended(time, layout) => order.contended(time, layout),
        Step::Layout(time, layout) => order.layout(time, layout),
        Step::Lost(time) => order.lost(time, time),
        Step::Resize(slots) => order.resize(slots % 64),
        Step::Advance(time) => order.advance(time),
        Step::Flush => order.flush(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn pipe_order_survives_anything(steps in proptest::collection::vec(step(), 0..300), created: bool) {
        let mut order = if created { PipeOrder::created(4) } else { PipeOrder::found(4, None) };
        let exits = steps.iter().filter(|step| matches!(step, Step::Exit(_, _, 1.., _))).count();
        for step in steps {
            apply(&mut order, step);
        }
        order.flush();
        prop_assert!(order.resolved().count() <= exits);
        let _ = order.leftover();
    }
}
