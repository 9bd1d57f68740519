//! What is selected on the map, and the keys that move the selection.

use crossterm::event::{KeyCode, KeyEvent};

use super::{layout::Plan, view};
use crate::{
    analyze::Filter,
    event::ChannelId,
    model::ProcessKey,
    ui::{App, screen, state::View},
};

/// What is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Nothing: the details tell of everything.
    #[default]
    Nothing,
    /// A process.
    Process(ProcessKey),
    /// A channel.
    Channel(ChannelId),
}

impl Selection {
    /// The process it is, if it is one.
    pub(crate) fn key(&self) -> Option<ProcessKey> {
        match self {
            Self::Process(key) => Some(*key),
            _ => None,
        }
    }

    /// It is that process.
    pub(crate) fn is_process(&self, key: ProcessKey) -> bool {
        *self == Self::Process(key)
    }

    /// It is that channel.
    pub(crate) fn is_channel(&self, id: &ChannelId) -> bool {
        matches!(self, Self::Channel(selected) if selected == id)
    }
}

/// Something on the map that can be selected.
#[derive(Debug)]
pub(super) struct Item {
    pub selection: Selection,
    pub middle: (i32, i32),
}

impl Plan {
    /// Everything that can be selected; every member of what is folded, at the same place.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        let nodes = self.graph.nodes.iter().zip(&self.places).flat_map(|(node, place)| {
            let middle = (place.x + place.width / 2, place.y + place.height / 2);
            node.members.iter().map(move |key| Item { selection: Selection::Process(*key), middle })
        });
        let links = self.graph.links.iter().zip(&self.gauges).flat_map(|(link, gauge)| {
            let middle = (gauge.x + self.scale.gauge / 2, gauge.y);
            link.members.iter().map(move |id| Item { selection: Selection::Channel(id.clone()), middle })
        });
        nodes.chain(links)
    }
}

impl App {
    pub(in crate::ui) fn map_key(&mut self, key: KeyEvent) {
        let direction = match key.code {
            KeyCode::Left | KeyCode::Char('h') => (-1, 0),
            KeyCode::Right | KeyCode::Char('l') => (1, 0),
            KeyCode::Up | KeyCode::Char('k') => (0, -1),
            KeyCode::Down | KeyCode::Char('j') => (0, 1),
            KeyCode::Enter => return self.show_events(),
            _ => return,
        };
        let plan = view::plan(self, screen::areas(self).view);
        let here = plan.items().find(|item| item.selection == self.selection).map(|item| item.middle);
        let next = match here {
            Some(here) => plan
                .items()
                .filter_map(|item| Some((distance(here, item.middle, direction)?, item)))
                .min_by_key(|(distance, _)| *distance)
                .map(|(_, item)| item),
            None => plan.items().min_by_key(|item| (item.middle.1, item.middle.0)),
        };
        if let Some(item) = next {
            self.selection = item.selection;
        }
    }

    fn show_events(&mut self) {
        let filter = match &self.selection {
            Selection::Nothing => return self.view = View::Events,
            Selection::Process(key) => match self.world().processes.get(key) {
                Some(process) => format!("pid:{}", process.number()),
                None => return,
            },
            Selection::Channel(id) => {
                let name = super::super::words::short(id);
                if name.chars().all(|c| c.is_ascii_alphanumeric()) {
                    format!("channel:{name}")
                } else {
                    format!("channel:\"{id}\"")
                }
            }
        };
        match Filter::parse(&filter) {
            Ok(filter) => {
                self.set_filter(filter);
                self.view = View::Events;
            }
            Err(error) => self.say(error.to_string()),
        }
    }
}

/// How far `to` is from `from` in that direction; sideways counts more. `None`: not in that direction.
fn distance(from: (i32, i32), to: (i32, i32), direction: (i32, i32)) -> Option<i32> {
    // A cell is about twice as high as wide.
    let (dx, dy) = (to.0 - from.0, 2 * (to.1 - from.1));
    let ahead = dx * direction.0 + dy * direction.1;
    let aside = (dx * direction.1).abs() + (dy * direction.0).abs();
    (ahead > 0 && aside <= 4 * ahead + 8).then_some(ahead + 3 * aside)
}
