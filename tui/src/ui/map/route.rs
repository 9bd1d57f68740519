//! Channels between boxes: where their gauges lie, and the wires from writers over the gauge to readers.
//!
//! A component is a grid: ranks as columns, wrapped into rows of the grid. Between neighbouring columns wires are
//! straight or bend once in the gap; all others take a lane below their row of the grid.

use std::collections::BTreeMap;

use super::{
    canvas::Weight,
    graph::{Link, Tie},
    layout::{Gauge, Place, Plan, Scale},
};

/// Lanes below a row of the grid, at most.
const LANES: i32 = 5;

/// A line on the map.
#[derive(Debug)]
pub(super) struct Wire {
    pub corners: Vec<(i32, i32)>,
    pub weight: Weight,
    /// Whose it is; `None` for a line of descent.
    pub link: Option<usize>,
    /// An arrow head: where, and whether it points to the left.
    pub arrow: Option<(i32, i32, bool)>,
}

impl Wire {
    /// From a parent to a child.
    pub(super) fn descent(corners: Vec<(i32, i32)>) -> Self {
        Self { corners, weight: Weight::Light, link: None, arrow: None }
    }
}

/// A component, its top left corner at (0, 0).
#[derive(Debug, Default)]
pub(super) struct Block {
    pub width: i32,
    pub height: i32,
    nodes: Vec<(usize, Place)>,
    gauges: Vec<(usize, Gauge)>,
    wires: Vec<Wire>,
}

type Cell = (usize, usize);

/// What is known while a block is made.
struct Maker<'a> {
    plan: &'a Plan,
    scale: Scale,
    left: i32,
    /// Links by the gap that they lie in: row of the grid, gap left of that column.
    gaps: BTreeMap<Cell, Vec<usize>>,
    cells: BTreeMap<usize, Cell>,
    /// Per node and side (right?): the links there.
    ports: BTreeMap<(usize, bool), Vec<usize>>,
    places: BTreeMap<usize, Place>,
    reversed: Vec<usize>,
    /// Below each row of the grid: where lanes begin, how many are taken, how many there are.
    lanes: Vec<(i32, i32, i32)>,
}

impl Block {
    /// Arranges `nodes` in at most `columns`.
    pub(super) fn new(plan: &mut Plan, nodes: &[usize], ranks: &[usize], columns: i32) -> Self {
        let rank = |node: usize| ranks.get(node).copied().unwrap_or(0);
        let scale = plan.scale;
        let highest = nodes.iter().map(|node| rank(*node)).max().unwrap_or(0);
        let links: Vec<usize> = plan
            .graph
            .links
            .iter()
            .enumerate()
            .filter(|(_, link)| link.writers.iter().chain(&link.readers).any(|tie| nodes.contains(&tie.node)))
            .map(|(place, _)| place)
            .collect();
        let whole = (highest as i32 + 1) * (scale.width + scale.gap) - scale.gap;
        let per_row = if whole <= columns {
            highest + 1
        } else {
            (((columns - 3) / (scale.width + scale.gap)).max(1) as usize).min(highest + 1)
        };
        let mut maker = Maker {
            plan,
            scale,
            left: 0,
            gaps: BTreeMap::new(),
            cells: nodes.iter().map(|node| (*node, (rank(*node) / per_row, rank(*node) % per_row))).collect(),
            ports: BTreeMap::new(),
            places: BTreeMap::new(),
            reversed: Vec::new(),
            lanes: Vec::new(),
        };
        let mut wanted: BTreeMap<usize, i32> = BTreeMap::new();
        for link in &links {
            maker.assign(*link, &mut wanted);
        }
        maker.left = if maker.gaps.keys().any(|(_, column)| *column == 0) {
            scale.gap
        } else if maker.enters_first_column(&links) {
            3
        } else {
            0
        };
        maker.finish(nodes, &links, &wanted)
    }

    /// Moves the block to its place in the plan.
    pub(super) fn put(self, plan: &mut Plan, (dx, dy): (i32, i32)) {
        for (node, place) in self.nodes {
            if let Some(target) = plan.places.get_mut(node) {
                *target = Place { x: place.x + dx, y: place.y + dy, ..place };
            }
        }
        for (link, gauge) in self.gauges {
            if let Some(target) = plan.gauges.get_mut(link) {
                *target = Gauge { x: gauge.x + dx, y: gauge.y + dy, ..gauge };
            }
        }
        plan.wires.extend(self.wires.into_iter().map(|wire| Wire {
            corners: wire.corners.into_iter().map(|(x, y)| (x + dx, y + dy)).collect(),
            arrow: wire.arrow.map(|(x, y, left)| (x + dx, y + dy, left)),
            ..wire
        }));
    }
}

impl Maker<'_> {
    fn link(&self, link: usize) -> Option<&Link> {
        self.plan.graph.links.get(link)
    }

    fn cell(&self, tie: &Tie) -> Cell {
        self.cells.get(&tie.node).copied().unwrap_or_default()
    }

    /// Decides on the gap of a link, the sides of boxes it goes to, and how many lanes it wants.
    fn assign(&mut self, index: usize, wanted: &mut BTreeMap<usize, i32>) {
        let Some(link) = self.link(index) else { return };
        let writers: Vec<(Cell, Tie)> = link.writers.iter().map(|tie| (self.cell(tie), *tie)).collect();
        let readers: Vec<(Cell, Tie)> = link.readers.iter().map(|tie| (self.cell(tie), *tie)).collect();
        let right_of = |(row, column): Cell| (row, column + 1);
        let follows = |w: &Cell| readers.iter().any(|(r, _)| *r == right_of(*w));
        let leads = |w: &Cell| readers.iter().any(|(r, _)| right_of(*r) == *w);
        let last = writers.iter().map(|(cell, _)| *cell).max();
        let direct = writers.iter().map(|(cell, _)| *cell).filter(follows).max();
        let backward = writers.iter().map(|(cell, _)| *cell).filter(leads).max();
        let reversed = direct.is_none() && backward.is_some();
        let gap = match (direct, backward, last, readers.iter().map(|(cell, _)| *cell).min()) {
            (Some(cell), ..) | (None, None, Some(cell), _) => right_of(cell),
            (None, Some(cell), ..) | (None, None, None, Some(cell)) => cell,
            (None, None, None, None) => return,
        };
        if reversed {
            self.reversed.push(index);
        }
        self.gaps.entry(gap).or_default().push(index);
        for (writing, ties) in [(true, &writers), (false, &readers)] {
            for (cell, tie) in ties {
                let side = is_right(gap, *cell, writing, reversed);
                self.ports.entry((tie.node, side)).or_default().push(index);
                if !is_direct(gap, *cell, writing, reversed) {
                    *wanted.entry(if writing { cell.0 } else { gap.0 }).or_default() += 1;
                }
            }
        }
    }

    fn enters_first_column(&self, links: &[usize]) -> bool {
        links.iter().filter_map(|index| Some((index, self.link(*index)?))).any(|(index, link)| {
            let reversed = self.reversed.contains(index);
            let gap = self.gaps.iter().find(|(_, links)| links.contains(index)).map(|(gap, _)| *gap);
            link.readers.iter().any(|tie| {
                let cell = self.cell(tie);
                cell.1 == 0 && gap.is_some_and(|gap| !is_direct(gap, cell, false, reversed))
            })
        })
    }

    fn x_of(&self, column: usize) -> i32 {
        self.left + column as i32 * (self.scale.width + self.scale.gap)
    }

    /// The first cell of the gap left of `column`.
    fn gap_x(&self, column: usize) -> i32 {
        self.x_of(column) - self.scale.gap
    }

    fn finish(mut self, nodes: &[usize], links: &[usize], wanted: &BTreeMap<usize, i32>) -> Block {
        let mut block = Block::default();
        let rows = self.cells.values().map(|cell| cell.0).max().unwrap_or(0) + 1;
        let mut gauges: BTreeMap<usize, Gauge> = BTreeMap::new();
        let mut y = 0;
        for row in 0..rows {
            let bottom = self.stack(row, y, nodes);
            let bottom = self.slots(row, y, bottom, &mut gauges);
            let lanes = wanted.get(&row).copied().unwrap_or(0).min(LANES);
            self.lanes.push((bottom, 0, lanes));
            y = bottom + lanes + 1;
        }
        block.height = y - 1;
        for place in self.places.values() {
            block.width = block.width.max(place.x + self.scale.width);
        }
        for (_, column) in self.gaps.keys() {
            block.width = block.width.max(self.gap_x(*column) + self.scale.gap);
        }
        for index in links {
            if let Some(gauge) = gauges.get(index) {
                self.wires(*index, *gauge, &mut block.wires);
            }
        }
        block.nodes = self.places.into_iter().collect();
        block.gauges = gauges.into_iter().collect();
        block
    }

    /// Stacks the boxes of each column of a row of the grid, each column in the middle; returns the line below.
    fn stack(&mut self, row: usize, top: i32, nodes: &[usize]) -> i32 {
        let mut columns: BTreeMap<usize, Vec<(usize, i32)>> = BTreeMap::new();
        for node in nodes {
            let cell = self.cells.get(node).copied().unwrap_or_default();
            if cell.0 == row {
                let ties = |right| self.ports.get(&(*node, right)).map_or(0, Vec::len);
                columns.entry(cell.1).or_default().push((*node, self.scale.height(ties(true).max(ties(false)))));
            }
        }
        let space = i32::from(!self.scale.flat);
        let heights = columns.values().map(|boxes| boxes.iter().map(|(_, h)| h + space).sum::<i32>() - space);
        let height = heights.max().unwrap_or(0);
        for (column, boxes) in columns {
            let own = boxes.iter().map(|(_, h)| h + space).sum::<i32>() - space;
            let mut y = top + (height - own) / 2;
            for (node, h) in boxes {
                let place = Place { x: self.x_of(column), y, width: self.scale.width, height: h };
                self.places.insert(node, place);
                y += h + space;
            }
        }
        top + height
    }

    /// Finds lines for the gauges in the gaps of a row of the grid; returns the line below everything.
    fn slots(&self, row: usize, top: i32, mut bottom: i32, gauges: &mut BTreeMap<usize, Gauge>) -> i32 {
        for ((_, column), links) in self.gaps.iter().filter(|((r, _), _)| *r == row) {
            let mut wishes: Vec<(i32, usize)> =
                links.iter().map(|link| (self.wish(*link, (row, *column)).unwrap_or(top), *link)).collect();
            wishes.sort_unstable();
            let mut free = top + i32::from(!self.scale.flat);
            for (wish, link) in wishes {
                let y = wish.max(free);
                free = y + self.scale.pitch();
                bottom = bottom.max(free - 1);
                let x = self.gap_x(*column) + self.scale.gauge_at();
                gauges.insert(link, Gauge { x, y, reversed: self.reversed.contains(&link) });
            }
        }
        bottom
    }

    /// The line where a link would best lie: level with its only neighbour, else in the middle.
    fn wish(&self, index: usize, gap: Cell) -> Option<i32> {
        let link = self.link(index)?;
        let reversed = self.reversed.contains(&index);
        let side = |ties: &[Tie], writing: bool| -> Vec<i32> {
            let direct = ties.iter().filter(|tie| is_direct(gap, self.cell(tie), writing, reversed));
            direct.filter_map(|tie| self.port(tie.node, index, writing != reversed)).collect()
        };
        let (writers, readers) = (side(&link.writers, true), side(&link.readers, false));
        match (&*writers, &*readers) {
            ([one], _) | (_, [one]) => Some(*one),
            ([], []) => {
                let of = |tie: Option<&Tie>, writing| self.port(tie?.node, index, writing);
                of(link.writers.first(), true).or_else(|| of(link.readers.first(), false))
            }
            _ => {
                let all: Vec<i32> = writers.iter().chain(&readers).copied().collect();
                Some(all.iter().sum::<i32>() / all.len().max(1) as i32)
            }
        }
    }

    /// The line at which a link meets a box on its right or left side.
    fn port(&self, node: usize, link: usize, right: bool) -> Option<i32> {
        let place = self.places.get(&node)?;
        let at = self.ports.get(&(node, right))?.iter().position(|other| *other == link)?;
        Some(place.y + self.scale.port(at).min(place.height - 1))
    }

    fn lane(&mut self, row: usize) -> i32 {
        let Some((first, taken, all)) = self.lanes.get_mut(row) else { return 0 };
        let lane = *first + (*taken).min((*all - 1).max(0));
        *taken += 1;
        lane
    }

    /// The wires of a link: its writers to the gauge, the gauge to its readers.
    fn wires(&mut self, index: usize, gauge: Gauge, out: &mut Vec<Wire>) {
        let Some((gap, order)) = self
            .gaps
            .iter()
            .find_map(|(gap, links)| Some((*gap, links.iter().position(|other| *other == index)? as i32)))
        else {
            return;
        };
        let Some(link) = self.link(index) else { return };
        let (writers, readers, both_ways) = (link.writers.clone(), link.readers.clone(), link.both_ways);
        let (start, end) = (self.gap_x(gap.1), self.gap_x(gap.1) + self.scale.gap - 1);
        let (before, behind) = (gauge.x - 1, gauge.x + self.scale.gauge);
        // Several wires meet in one column of the gap on each side of the gauge; other links use other columns.
        let left_bus = (start + order).min(before);
        let right_bus = (end - 1 - order).max(behind);
        let (first, last) = (gauge.x, gauge.x + self.scale.gauge - 1);
        let (in_bus, out_bus, in_edge, out_edge, into, out_of) = if gauge.reversed {
            (right_bus, left_bus.max(start + 1).min(before), end, start, last, first)
        } else {
            (left_bus, right_bus, start, end, first, last)
        };
        for (writing, ties) in [(true, &writers), (false, &readers)] {
            for tie in ties {
                let cell = self.cell(tie);
                let right = is_right(gap, cell, writing, gauge.reversed);
                let (Some(port), Some(place)) = (self.port(tie.node, index, right), self.places.get(&tie.node)) else {
                    continue;
                };
                let (bus, near) = if writing { (in_bus, into) } else { (out_bus, out_of) };
                // Wires begin and end below the gauge and the border of the box, so that they join up with them.
                let (border, touch) = if right { (place.x + place.width - 1, 1) } else { (place.x, -1) };
                let mut corners = vec![(near, gauge.y), (bus, gauge.y)];
                if is_direct(gap, cell, writing, gauge.reversed) {
                    corners.extend([(bus, port), (border, port)]);
                } else {
                    let turn = border + if right { 1 } else { -2 };
                    let lane = self.lane(if writing { cell.0 } else { gap.0 });
                    corners.extend([(bus, lane), (turn, lane), (turn, port), (border, port)]);
                }
                out.push(Wire {
                    corners,
                    weight: if tie.used { Weight::Heavy } else { Weight::Light },
                    link: Some(index),
                    arrow: (!writing || both_ways).then_some((border + touch, port, right)),
                });
            }
        }
        for (missing, near, edge) in [(writers.is_empty(), into, in_edge), (readers.is_empty(), out_of, out_edge)] {
            if missing {
                out.push(Wire {
                    corners: vec![(near, gauge.y), (edge, gauge.y)],
                    weight: Weight::Light,
                    link: Some(index),
                    arrow: None,
                });
            }
        }
    }
}

/// Whether a box in `cell` borders on the gap, on the side that the link goes to there.
fn is_direct(gap: Cell, cell: Cell, writing: bool, reversed: bool) -> bool {
    if writing == reversed { cell == gap } else { (cell.0, cell.1 + 1) == gap }
}

/// Whether a link goes to the right side of a box.
fn is_right(gap: Cell, cell: Cell, writing: bool, reversed: bool) -> bool {
    writing != (reversed && is_direct(gap, cell, writing, true))
}
