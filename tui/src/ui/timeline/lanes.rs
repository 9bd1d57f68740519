//! Which lanes there are, in which order, and where each lies.

use ratatui::layout::Rect;

use super::axis::Axis;
use crate::{
    event::ChannelId,
    ui::{App, tracks::Track},
};

/// A lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// A thread, by its number in the tracks.
    Thread(u32),
    /// A channel's fill.
    Channel(ChannelId),
}

/// Where a lane lies: lines of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its states or its fill.
    pub y: u16,
    /// Lines of its fill.
    pub height: u16,
    /// The line for its marks.
    pub marks: Option<u16>,
    /// The line above, for arrows that end here.
    pub arrows: Option<u16>,
}

/// Lines of a thread's lane and of a channel's, from roomy to tight.
const HEIGHTS: [(u16, u16); 3] = [(3, 3), (2, 1), (1, 1)];

/// The lanes of what was there in the time in sight: threads by process, then channels, each in order of appearance.
pub(super) fn lanes(app: &App, axis: &Axis) -> Vec<Lane> {
    let (from, to) = (axis.left, axis.right());
    let living: Vec<(u32, &Track)> = (app.tracks.threads.iter())
        .map(|(number, track)| (*number, track))
        .filter(|(_, track)| track.lives_in(from, to))
        .collect();
    let first_of = |pid: u32| living.iter().find(|(_, track)| track.task.pid == pid).map(|(number, _)| *number);
    let mut threads: Vec<(Option<u32>, u32)> =
        living.iter().map(|(number, track)| (first_of(track.task.pid), *number)).collect();
    threads.sort_unstable();
    let gone =
        |id: &ChannelId| app.world().channels.get(id).and_then(|channel| channel.gone).is_some_and(|t| t <= from);
    let channels = (app.tracks.gauges.values())
        .filter(|gauge| gauge.samples.front().is_some_and(|first| first.t < to) && !gone(&gauge.id))
        .map(|gauge| Lane::Channel(gauge.id.clone()));
    threads.into_iter().map(|(_, number)| Lane::Thread(number)).chain(channels).collect()
}

/// How many lines there are for lanes: the axis is above, what glyphs mean below.
pub(super) fn lines(area: Rect) -> u16 {
    area.height.saturating_sub(if area.height >= 10 { 2 } else { 1 })
}

/// Lines of each lane, and how many lanes fit.
pub(super) fn stack(lanes: &[Lane], area: Rect) -> ((u16, u16), usize) {
    let lines = usize::from(lines(area));
    let height = |lane: &Lane, (thread, channel): (u16, u16)| {
        usize::from(if matches!(lane, Lane::Thread(_)) { thread } else { channel })
    };
    for heights in HEIGHTS {
        if lanes.iter().map(|lane| height(lane, heights)).sum::<usize>() <= lines {
            return (heights, lanes.len());
        }
    }
    ((1, 1), lines)
}

/// Where the lanes from `top` on lie.
pub(super) fn places(lanes: &[Lane], top: usize, area: Rect) -> Vec<(usize, Place)> {
    let ((thread, channel), _) = stack(lanes, area);
    let end = area.y + 1 + lines(area);
    let mut y = area.y + 1;
    let mut places = Vec::new();
    for (number, lane) in lanes.iter().enumerate().skip(top) {
        let is_thread = matches!(lane, Lane::Thread(_));
        let height = if is_thread { thread } else { channel };
        if y + height > end {
            break;
        }
        let roomy = height == 3;
        let line = if roomy { y + 1 } else { y };
        places.push((
            number,
            Place {
                y: line,
                height: if is_thread || !roomy { 1 } else { 2 },
                marks: (is_thread && height > 1).then_some(line + 1),
                arrows: roomy.then_some(y),
            },
        ));
        y += height;
    }
    places
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::{Lane, places, stack};

    fn threads(n: u32) -> Vec<Lane> {
        (0..n).map(Lane::Thread).collect()
    }

    #[test]
    fn lanes_are_as_high_as_there_is_room() {
        for (lanes, height, expected) in [
            (4, 40, ((3, 3), 4)),
            (5, 14, ((2, 1), 5)),
            (8, 14, ((1, 1), 8)),
            (12, 14, ((1, 1), 12)),
            (90, 14, ((1, 1), 12)),
            (3, 2, ((1, 1), 1)),
            (0, 5, ((3, 3), 0)),
        ] {
            assert_eq!(stack(&threads(lanes), Rect::new(0, 0, 80, height)), expected, "{lanes} in {height}");
        }
    }

    #[test]
    fn lanes_stay_inside() {
        let area = Rect::new(1, 5, 80, 14);
        let places = places(&threads(90), 70, area);
        assert_eq!((places.len(), places.first().map(|(n, _)| *n)), (12, Some(70)));
        assert!(places.iter().all(|(_, place)| place.y > area.y && place.y < area.bottom() - 1));
    }
}
