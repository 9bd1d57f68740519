//! Where everything on the map is: ranks from left to right along the data, wrapped into rows where it is too wide.
//!
//! A process's rank is the longest way to it along links (links that would close a circle do not count), a channel lies
//! in the gap right of its writer. Parents without channels stand above. The largest boxes that fit are taken.

use super::{
    graph::Graph,
    route::{self, Wire},
};

/// How large boxes and gaps are, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// A box.
    pub width: i32,
    /// Between two boxes.
    pub gap: i32,
    /// The gauge in the gap.
    pub gauge: i32,
    /// Lines of text in a box at least.
    pub lines: i32,
    /// A box is one line.
    pub flat: bool,
    /// A parent that stands above is one line.
    pub flat_parents: bool,
}

const LARGE: Scale = Scale { width: 28, gap: 16, gauge: 10, lines: 3, flat: false, flat_parents: false };
const ROOMY: Scale = Scale { width: 21, gap: 11, gauge: 6, lines: 2, flat: false, flat_parents: false };
const CLOSE: Scale = Scale { width: 15, gap: 8, gauge: 4, lines: 2, flat: false, flat_parents: false };
const SMALL: Scale = Scale { width: 13, gap: 8, gauge: 4, lines: 2, flat: false, flat_parents: false };
const FLAT: Scale = Scale { width: 22, gap: 14, gauge: 4, lines: 1, flat: true, flat_parents: true };
/// The largest first.
const SCALES: [Scale; 9] = [LARGE, LARGE.low(), ROOMY, ROOMY.low(), CLOSE, CLOSE.low(), SMALL, SMALL.low(), FLAT];

impl Scale {
    /// The same with low parents.
    const fn low(self) -> Self {
        Self { flat_parents: true, ..self }
    }

    /// Where in a gap the gauge begins.
    pub(super) fn gauge_at(self) -> i32 {
        if self.flat { 2 } else { (self.gap - self.gauge) / 2 }
    }

    /// Lines and columns of a parent that stands above.
    pub(super) fn parent(self) -> (i32, i32) {
        if self.flat_parents { (1, self.width.max(FLAT.width)) } else { (self.height(1), self.width) }
    }

    /// Lines that a link takes in a box or a gap.
    pub(super) fn pitch(self) -> i32 {
        if self.flat { 1 } else { 3 }
    }

    /// Lines of a box that so many links go to.
    pub(super) fn height(self, ties: usize) -> i32 {
        let ties = (ties as i32).clamp(1, 4);
        if self.flat { ties } else { (3 * ties - 1).max(self.lines) + 2 }
    }

    /// Columns of text in a box, and blanks before them.
    pub(super) fn text(self) -> (usize, i32) {
        match self.width {
            _ if self.flat => (self.width as usize, 0),
            0..15 => ((self.width - 2).max(1) as usize, 0),
            _ => (self.width as usize - 3, 1),
        }
    }

    /// The line of a box that its n-th link goes to.
    pub(super) fn port(self, n: usize) -> i32 {
        let n = (n as i32).min(3);
        if self.flat { n } else { 1 + 3 * n }
    }
}

/// A node's place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

/// A link's gauge.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gauge {
    pub x: i32,
    pub y: i32,
    /// Bytes go from right to left.
    pub reversed: bool,
}

/// The whole map.
#[derive(Debug)]
pub(super) struct Plan {
    pub graph: Graph,
    pub scale: Scale,
    pub places: Vec<Place>,
    pub gauges: Vec<Gauge>,
    pub wires: Vec<Wire>,
    pub width: i32,
    pub height: i32,
}

impl Plan {
    /// The map for a viewport: large and unfolded if possible.
    pub(super) fn new(graph: impl Fn(bool) -> Graph, columns: u16, rows: u16) -> Self {
        let (columns, rows) = (i32::from(columns), i32::from(rows));
        let mut last = None;
        for fold in [false, true] {
            let mut whole = Some(graph(fold));
            let crowd = whole.as_ref().is_some_and(|graph| graph.nodes.len() > 64);
            if crowd && !fold {
                continue;
            }
            // First without wrapping rows, then with; flat boxes are the last resort.
            for wrap in [false, true] {
                for scale in SCALES {
                    let Some(graph) = whole.take() else { continue };
                    let plan = lay_out(graph, scale, columns, wrap);
                    if plan.width <= columns && plan.height <= rows && (wrap || !scale.flat) {
                        return plan;
                    }
                    whole = Some(plan.graph);
                }
            }
            last = whole;
        }
        lay_out(last.unwrap_or_default(), FLAT, columns, true)
    }
}

/// Nodes by what they are: ranked ones by component, parents above, the rest.
fn lay_out(graph: Graph, scale: Scale, columns: i32, wrap: bool) -> Plan {
    let linked = graph.linked();
    let ranks = ranks(&graph);
    let components = components(&graph, &linked);
    let mut plan = Plan {
        places: vec![Place::default(); graph.nodes.len()],
        gauges: vec![Gauge::default(); graph.links.len()],
        wires: Vec::new(),
        width: 0,
        height: 0,
        scale,
        graph,
    };
    let tops = tops(&plan.graph, &linked);
    let above = tops.iter().filter(|level| !level.is_empty()).count() as i32;
    let top_pitch = scale.parent().0 + 1;
    // Components side by side as long as there is room, then below.
    let mut shelf = (0, above * top_pitch, 0);
    for nodes in &components {
        let block = route::Block::new(&mut plan, nodes, &ranks, if wrap { columns } else { i32::MAX });
        let (width, height) = (block.width, block.height);
        if shelf.0 > 0 && shelf.0 + width > columns {
            shelf = (0, shelf.1 + shelf.2 + 1, 0);
        }
        block.put(&mut plan, (shelf.0, shelf.1));
        plan.width = plan.width.max(shelf.0 + width);
        plan.height = plan.height.max(shelf.1 + height);
        shelf = (shelf.0 + width + 2, shelf.1, shelf.2.max(height));
    }
    put_tops(&mut plan, &tops, top_pitch, columns);
    plan
}

/// Longest way to each node along links, without links back.
fn ranks(graph: &Graph) -> Vec<usize> {
    let count = graph.nodes.len();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
    for link in &graph.links {
        for writer in &link.writers {
            for reader in link.readers.iter().filter(|reader| reader.node != writer.node) {
                // An end that is only held does not decide the order if there are others.
                let idle = !writer.used && link.writers.iter().any(|w| w.used);
                if let Some(list) = next.get_mut(writer.node).filter(|_| !idle) {
                    list.push(reader.node);
                }
            }
        }
    }
    // Depth first in order of appearance; a node still open is behind us: that way leads back.
    let mut state = vec![0_u8; count];
    let mut order = Vec::with_capacity(count);
    for root in 0..count {
        let mut stack = vec![(root, 0)];
        while let Some((node, child)) = stack.pop() {
            let Some(mark) = state.get_mut(node) else { continue };
            if child == 0 {
                if *mark != 0 {
                    continue;
                }
                *mark = 1;
            }
            let target = next.get(node).and_then(|list| list.get(child)).copied();
            if let Some(target) = target {
                stack.push((node, child + 1));
                match state.get(target) {
                    Some(0) => stack.push((target, 0)),
                    Some(1) => {
                        if let Some(back) = next.get_mut(node).and_then(|list| list.get_mut(child)) {
                            *back = usize::MAX;
                        }
                    }
                    _ => {}
                }
            } else {
                *mark = 2;
                order.push(node);
            }
        }
    }
    let mut ranks = vec![0; count];
    for node in order.into_iter().rev() {
        let rank = ranks.get(node).copied().unwrap_or(0);
        for target in next.get(node).into_iter().flatten() {
            if let Some(other) = ranks.get_mut(*target) {
                *other = (*other).max(rank + 1);
            }
        }
    }
    ranks
}

/// The first of those that a node is joined with.
fn find(root: &[usize], mut node: usize) -> usize {
    while let Some(up) = root.get(node).filter(|up| **up != node) {
        node = *up;
    }
    node
}

/// Linked nodes that belong together, in order of appearance; nodes alone with neither links nor children.
fn components(graph: &Graph, linked: &[bool]) -> Vec<Vec<usize>> {
    let mut root: Vec<usize> = (0..graph.nodes.len()).collect();
    for link in &graph.links {
        let mut ties = link.writers.iter().chain(&link.readers).map(|tie| tie.node);
        let Some(first) = ties.next() else { continue };
        for other in ties {
            let (a, b) = (find(&root, first), find(&root, other));
            if let Some(up) = root.get_mut(a.max(b)) {
                *up = a.min(b);
            }
        }
    }
    let parents = parents(graph);
    let mut groups: std::collections::BTreeMap<usize, Vec<usize>> = std::collections::BTreeMap::new();
    for node in 0..graph.nodes.len() {
        let alone = !linked.get(node).copied().unwrap_or(false);
        if !(alone && parents.get(node).copied().unwrap_or(false)) {
            groups.entry(find(&root, node)).or_default().push(node);
        }
    }
    groups.into_values().collect()
}

fn parents(graph: &Graph) -> Vec<bool> {
    let mut parents = vec![false; graph.nodes.len()];
    for parent in graph.nodes.iter().filter_map(|node| node.parent) {
        if let Some(mark) = parents.get_mut(parent) {
            *mark = true;
        }
    }
    parents
}

/// Parents without links, by generation.
fn tops(graph: &Graph, linked: &[bool]) -> Vec<Vec<usize>> {
    let parents = parents(graph);
    let mut levels: Vec<Vec<usize>> = Vec::new();
    for (node, is_parent) in parents.into_iter().enumerate() {
        if !is_parent || linked.get(node).copied().unwrap_or(false) {
            continue;
        }
        let mut level = 0;
        let mut up = graph.nodes.get(node).and_then(|n| n.parent);
        while let Some(parent) = up.filter(|_| level < 8) {
            level += usize::from(!linked.get(parent).copied().unwrap_or(false));
            up = graph.nodes.get(parent).and_then(|n| n.parent).filter(|next| *next < parent);
        }
        if levels.len() <= level {
            levels.resize(level + 1, Vec::new());
        }
        if let Some(row) = levels.get_mut(level) {
            row.push(node);
        }
    }
    levels.retain(|level| !level.is_empty());
    levels
}

/// Puts parents above the middle of their children, the lowest generation first, and draws the lines of descent.
fn put_tops(plan: &mut Plan, tops: &[Vec<usize>], pitch: i32, columns: i32) {
    let (parent_height, parent_width) = plan.scale.parent();
    for (level, row) in tops.iter().enumerate().rev() {
        let mut x = 0;
        for node in row {
            let middles: Vec<i32> = children(plan, *node).map(|(_, place)| place.x + plan.scale.width / 2).collect();
            let ideal = match (middles.iter().min(), middles.iter().max()) {
                (Some(low), Some(high)) => i32::midpoint(*low, *high),
                _ => 0,
            };
            let place = Place {
                x: (ideal - parent_width / 2).min(columns - parent_width).max(x),
                y: level as i32 * pitch,
                width: parent_width,
                height: parent_height,
            };
            if let Some(target) = plan.places.get_mut(*node) {
                *target = place;
            }
            x = place.x + parent_width + 2;
            plan.width = plan.width.max(place.x + parent_width);
            plan.height = plan.height.max(place.y + place.height);
        }
    }
    let mut wires = Vec::new();
    for node in tops.iter().flatten() {
        let from = plan.places.get(*node).copied().unwrap_or_default();
        let start = (from.x + from.width / 2, from.y + from.height - 1);
        let lane = from.y + from.height;
        for (child, to) in children(plan, *node).filter(|(_, to)| to.y > lane) {
            if is_clear(plan, child, to, lane) {
                let x = to.x + to.width / 2;
                wires.push(Wire::descent(vec![start, (start.0, lane), (x, lane), (x, to.y)]));
            }
        }
    }
    plan.wires.extend(wires);
}

fn children(plan: &Plan, parent: usize) -> impl Iterator<Item = (usize, Place)> {
    plan.graph
        .nodes
        .iter()
        .enumerate()
        .filter(move |(_, node)| node.parent == Some(parent))
        .filter_map(|(child, _)| Some((child, *plan.places.get(child)?)))
}

/// Nothing stands between the lane and the child.
fn is_clear(plan: &Plan, child: usize, to: Place, lane: i32) -> bool {
    let x = to.x + to.width / 2;
    plan.places.iter().enumerate().all(|(other, place)| {
        other == child || place.y >= to.y || place.y < lane || x < place.x || x >= place.x + place.width
    })
}
