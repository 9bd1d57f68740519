//! Lines that join where they meet: wires are collected as directions per cell and drawn as box characters.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// How a wire looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Parents, and ends that are only held.
    Light,
    /// Where bytes go.
    Heavy,
    /// Where messages go.
    Dashed,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    light: u8,
    heavy: u8,
    dashed: bool,
    style: Style,
}

/// The part of the plan that is in sight.
pub(super) struct Canvas {
    area: Rect,
    /// Plan coordinates of the area's first cell.
    origin: (i32, i32),
    cells: Vec<Cell>,
}

impl Canvas {
    /// A canvas over `area` that shows the plan from `origin` on.
    pub(super) fn new(area: Rect, origin: (i32, i32)) -> Self {
        Self { area, origin, cells: vec![Cell::default(); area.area() as usize] }
    }

    /// Where a place of the plan is on the screen, if in sight.
    pub(super) fn place(&self, x: i32, y: i32) -> Option<Position> {
        let (x, y) = (x - self.origin.0, y - self.origin.1);
        let inside = x >= 0 && y >= 0 && x < i32::from(self.area.width) && y < i32::from(self.area.height);
        inside.then(|| Position::new(self.area.x + x as u16, self.area.y + y as u16))
    }

    fn mark(&mut self, x: i32, y: i32, directions: u8, weight: Weight, style: Style) {
        let Some(at) = self.place(x, y) else { return };
        let index = usize::from(at.y - self.area.y) * usize::from(self.area.width) + usize::from(at.x - self.area.x);
        if let Some(cell) = self.cells.get_mut(index) {
            match weight {
                Weight::Light => cell.light |= directions,
                Weight::Heavy => cell.heavy |= directions,
                Weight::Dashed => {
                    cell.dashed |= cell.heavy == 0;
                    cell.heavy |= directions;
                }
            }
            if weight != Weight::Light || cell.heavy == 0 {
                cell.style = style;
            }
        }
    }

    /// A wire through these corners; consecutive ones share a row or a column.
    pub(super) fn wire(&mut self, corners: &[(i32, i32)], weight: Weight, style: Style) {
        for pair in corners.windows(2) {
            let &[(x0, y0), (x1, y1)] = pair else { continue };
            if y0 == y1 {
                let (from, to) = (x0.min(x1), x0.max(x1));
                for x in self.clip(from, to, true) {
                    let open = (u8::from(x > from) * LEFT) | (u8::from(x < to) * RIGHT);
                    self.mark(x, y0, open, weight, style);
                }
            } else {
                let (from, to) = (y0.min(y1), y0.max(y1));
                for y in self.clip(from, to, false) {
                    let open = (u8::from(y > from) * UP) | (u8::from(y < to) * DOWN);
                    self.mark(x0, y, open, weight, style);
                }
            }
        }
    }

    fn clip(&self, from: i32, to: i32, across: bool) -> std::ops::RangeInclusive<i32> {
        let (origin, extent) =
            if across { (self.origin.0, self.area.width) } else { (self.origin.1, self.area.height) };
        from.max(origin)..=to.min(origin + i32::from(extent))
    }

    /// Text in plan coordinates; what is out of sight is left out.
    pub(super) fn text(&self, buffer: &mut Buffer, x: i32, y: i32, text: &str, style: Style) {
        let mut at = x;
        for c in text.chars() {
            // Control characters have no width and no place here.
            let columns = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0) as i32;
            if columns == 0 {
                continue;
            }
            if let Some(position) = self.place(at, y)
                && self.place(at + columns - 1, y).is_some()
                && let Some(cell) = buffer.cell_mut(position)
            {
                cell.set_char(c).set_style(style);
                if columns == 2
                    && let Some(second) = buffer.cell_mut(Position::new(position.x + 1, position.y))
                {
                    second.set_symbol(" ").set_style(style);
                }
            }
            at += columns;
        }
    }

    /// Draws the wires.
    pub(super) fn draw(&self, buffer: &mut Buffer) {
        let width = usize::from(self.area.width).max(1);
        for (index, cell) in self.cells.iter().enumerate() {
            let all = cell.light | cell.heavy;
            if all == 0 {
                continue;
            }
            let at = Position::new(self.area.x + (index % width) as u16, self.area.y + (index / width) as u16);
            if let Some(target) = buffer.cell_mut(at) {
                let wire = if cell.heavy == 0 { light(all) } else { heavy(all) };
                target.set_char(if cell.dashed { dashed(wire) } else { wire }).set_style(cell.style);
            }
        }
    }
}

fn pick(set: &str, directions: u8) -> char {
    set.chars().nth(usize::from(directions)).unwrap_or(' ')
}

/// Indexed by UP 1, DOWN 2, LEFT 4, RIGHT 8.
fn light(directions: u8) -> char {
    pick(" │││─┘┐┤─└┌├─┴┬┼", directions)
}

/// The same where there is one; corners have none.
fn dashed(heavy: char) -> char {
    match heavy {
        '━' => '┅',
        '┃' => '┇',
        other => other,
    }
}

fn heavy(directions: u8) -> char {
    pick(" ┃┃┃━┛┓┫━┗┏┣━┻┳╋", directions)
}
