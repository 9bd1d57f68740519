//! All keys, written down once: the help shows the whole table, footers the important ones.

/// A group of keys: where they work, and each with what it does.
pub(super) type Group = (&'static str, &'static [(&'static str, &'static str)]);

/// The table of the help.
pub(super) const ALL: &[Group] = &[
    (
        "everywhere",
        &[
            ("1 2 3 4  Tab", "the map · the events · the timeline · the signals · the next of them"),
            ("s", "the signals of the selected process, or the signal of the event at the cursor"),
            ("Space p", "pause: time stands still, events are kept; again to go on"),
            (", .", "one event back, one event forward (pauses)"),
            ("m M", "the next message, the one before: a send or a receive (pauses)"),
            ("w W", "the next change of state of the selected process, the one before (pauses)"),
            (":", "go to a time (1.5, 200ms), by a step (+10ms, -1), to a part (50%), an event (#42), start, end"),
            ("{ }", "a recording: slower, faster"),
            ("b  B  ' \"", "a recording: note something about this moment · all notes · the next, the one before"),
            ("/", "filter: list only events that match"),
            ("f  n N", "find an event that matches · the next · the one before"),
            ("!", "findings: what is wrong, why, and what to change"),
            ("t", "type into the command's terminal; Ctrl-] comes back"),
            ("T  < >", "terminal small, large, hidden · scroll it back and forth"),
            ("Ctrl-L", "paint the screen anew"),
            ("Ctrl-Z", "suspend ipcscope (the traced command goes on)"),
            ("?", "these keys"),
            ("q", "quit; while the command runs it asks: detach, or end it"),
        ],
    ),
    (
        "map",
        &[
            ("← ↓ ↑ → h j k l", "select the next process or channel in that direction"),
            ("Enter", "the events of what is selected"),
            ("Esc", "select nothing"),
        ],
    ),
    (
        "events",
        &[
            ("↑ ↓ k j", "one event up or down; leaving the end stops following"),
            ("PgUp PgDn Ctrl-B Ctrl-F", "a page"),
            ("g Home · G End", "the oldest · the newest, and follow"),
            ("Enter", "show it on the map, at that moment"),
            (
                "c",
                "its cause: the send of a receive, who sent a signal, what woke a thread; again for the cause of that",
            ),
            ("e", "its effect: the receive of a send, what became of a signal, what ended a wait"),
            ("o", "after c or e: the other causes or effects, one after the other"),
            ("Esc Backspace", "drop the filter, then back to the map"),
        ],
    ),
    (
        "timeline",
        &[
            ("← → h l", "move the time cursor by a cell; leaving the end stops following"),
            ("PgUp PgDn H L", "by a quarter of what is in sight"),
            ("[ ]", "to the event before, or after, in the selected lane"),
            ("g Home · G End", "to the beginning · to the newest, and follow"),
            ("+ -  0", "zoom in and out · everything that is kept"),
            ("↑ ↓ k j", "select a lane"),
            ("c  e", "to the cause, or the effect, of the event at the cursor"),
            ("Enter", "the event at the cursor in the list"),
        ],
    ),
    (
        "signals",
        &[
            ("↑ ↓ k j  PgUp PgDn", "select an instance: its life is told below"),
            ("g Home · G End", "the oldest · the newest, and follow"),
            ("d", "where there is no room for both: the process (dispositions, masks, pending) or the life"),
            ("c  e", "in the event list: what it came from, what came of it"),
            ("Enter  z", "where it was generated: in the event list · on the timeline"),
            ("Esc", "the signals of all processes, then the map"),
        ],
    ),
];

/// Footer of the signals.
pub(super) const SIGNALS: &[(&str, &str)] = &[
    ("↑↓", "select"),
    ("Enter", "in the list"),
    ("z", "timeline"),
    ("d", "process"),
    ("c e", "cause, effect"),
    ("/", "filter"),
    ("Space", "pause"),
    ("G", "follow"),
    ("?", "keys"),
    ("q", "quit"),
];

/// Footer of the timeline.
pub(super) const TIMELINE: &[(&str, &str)] = &[
    ("←→", "time"),
    ("+-", "zoom"),
    ("↑↓", "lane"),
    ("[ ]", "event"),
    ("c e", "cause, effect"),
    ("Enter", "in the list"),
    ("Space", "pause"),
    ("G", "follow"),
    ("?", "keys"),
    ("q", "quit"),
];

/// Footer of the map.
pub(super) const MAP: &[(&str, &str)] = &[
    ("↑↓←→", "select"),
    ("Enter", "its events"),
    ("s", "its signals"),
    ("Space", "pause"),
    (", .", "step"),
    ("t", "terminal"),
    ("/", "filter"),
    ("?", "keys"),
    ("q", "quit"),
];

/// Footer of the event list.
pub(super) const EVENTS: &[(&str, &str)] = &[
    ("↑↓", "move"),
    ("c", "cause"),
    ("e", "effect"),
    ("Enter", "on the map"),
    ("/", "filter"),
    ("Space", "pause"),
    ("f n N", "find"),
    ("G", "follow"),
    ("?", "keys"),
    ("q", "quit"),
];

/// Footer while typing a filter.
pub(super) const PROMPT: &[(&str, &str)] =
    &[("kind:signal comm:wc pid:42 channel:8124 bytes>100 blocked>10ms", ""), ("Enter", "apply"), ("Esc", "cancel")];

/// Footer while typing a place.
pub(super) const JUMP: &[(&str, &str)] =
    &[("1.5  200ms  +10ms  -1  50%  #42  start  end", ""), ("Enter", "go there"), ("Esc", "cancel")];

/// Footer while typing a note.
pub(super) const NOTE: &[(&str, &str)] =
    &[("a word about this moment; nothing marks the place", ""), ("Enter", "keep it"), ("Esc", "cancel")];

/// Footer while keys go to the command.
pub(super) const PANE: &[(&str, &str)] = &[("Ctrl-]", "back to ipcscope"), ("every other key", "goes to the command")];

/// Lines of the table.
pub(super) fn lines() -> u16 {
    ALL.iter().map(|(_, keys)| keys.len() as u16 + 2).sum()
}
