//! How channels change: who holds which end, what went through, how long who was blocked on them.

use super::{Channel, ProcessKey, World, channel::Side, process::Waited};
use crate::event::{ChannelChange, ChannelEvent, ChannelId, ChannelType, End, Nanos, Task, ThreadState, Transfer};

impl World {
    /// ns that threads were blocked sending to (receiving from) a channel until `now`, those that still are included.
    pub fn blocked(&self, channel: &Channel, side: Side, now: Nanos) -> u64 {
        let mut total = match side {
            Side::Send => channel.blocked_sending,
            Side::Receive => channel.blocked_receiving,
        };
        // Whoever can be blocked on it holds an end.
        let mut last = None;
        for (key, _) in channel.holders.keys() {
            if last.replace(key) == Some(key) {
                continue;
            }
            for thread in self.processes.get(key).into_iter().flat_map(|p| p.threads.values()) {
                if let Some(waited) = thread.waited.as_ref().filter(|w| w.channel == channel.id && w.side == side) {
                    let stay = if thread.state == Some(ThreadState::Blocked) { thread.current_stay(now) } else { 0 };
                    total = total.saturating_add(waited.ns).saturating_add(stay);
                }
            }
        }
        total
    }

    pub(super) fn change_channel(&mut self, key: ProcessKey, change: &ChannelEvent) {
        if change.error.is_some() {
            return;
        }
        let end = change.end.or_else(|| self.end_of_origin(key, change));
        let now = self.now;
        let channel = self.channel_mut(&change.channel, change.mechanism);
        channel.capacity = change.capacity.or(channel.capacity);
        channel.slots = change.slots.or(channel.slots);
        if matches!(change.event, ChannelChange::Connected | ChannelChange::Accepted) {
            channel.join(change.remote.as_deref());
        }
        if change.event == ChannelChange::Removed && channel.holders.is_empty() && channel.gone.is_none() {
            // What has no descriptors, a System V queue, goes with its removal.
            let born = channel.gone.replace(now).unwrap_or(channel.born);
            self.unheld.remove(&(born, change.channel.clone()));
            self.unheld.insert((now, change.channel.clone()));
            return;
        }
        match (change.event, change.fds, change.fd) {
            (ChannelChange::Created, Some([read, write]), _) => {
                // It begins empty.
                (channel.fill, channel.slots_used) = (Some(0), Some(0));
                self.take_hold(key, read, &change.channel, End::R);
                self.take_hold(key, write, &change.channel, End::W);
            }
            (ChannelChange::Closed, _, Some(fd)) => {
                if let Some(process) = self.processes.get_mut(&key)
                    && process.descriptors.get(&fd).is_some_and(|(held, _)| *held == change.channel)
                {
                    process.descriptors.remove(&fd);
                    self.let_go(key, fd, &change.channel);
                }
            }
            (ChannelChange::Attached | ChannelChange::Inherited, _, None) if change.mechanism == ChannelType::Shm => {
                self.attach(key, &change.channel, end.unwrap_or(End::Rw));
            }
            (ChannelChange::Detached, ..) => self.detach(key, &change.channel),
            (what, _, Some(fd)) if what != ChannelChange::Resized => {
                if let Some(end) = end {
                    self.take_hold(key, fd, &change.channel, end);
                }
            }
            _ => {}
        }
    }

    /// Memory has no descriptor: its attachments are numbered downwards from -1, where no descriptor is.
    fn attach(&mut self, key: ProcessKey, id: &ChannelId, end: End) {
        let Some(process) = self.processes.get(&key) else { return };
        let lowest = process.descriptors.keys().next().copied().unwrap_or_default().min(0);
        self.take_hold(key, lowest.saturating_sub(1), id, end);
    }

    fn detach(&mut self, key: ProcessKey, id: &ChannelId) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let attached = process.descriptors.range(..0).find(|(_, (held, _))| held == id).map(|(fd, _)| *fd);
        if let Some(fd) = attached {
            process.descriptors.remove(&fd);
            self.let_go(key, fd, id);
        }
    }

    pub(super) fn transfer(&mut self, task: Task, key: ProcessKey, transfer: &Transfer, send: bool) {
        let t = self.now;
        let side = if send { Side::Send } else { Side::Receive };
        let bytes = transfer.bytes.unwrap_or(0);
        let mut waited = None;
        if let Some(process) = self.processes.get_mut(&key) {
            waited = process.threads.get_mut(&task.tid).and_then(|thread| thread.waited.take());
            process.calls = process.calls.saturating_add(1);
            match side {
                Side::Send => process.bytes_sent = process.bytes_sent.saturating_add(bytes),
                Side::Receive if transfer.peek => {}
                Side::Receive => process.bytes_received = process.bytes_received.saturating_add(bytes),
            }
            if !process.channels.contains(&transfer.channel) {
                process.channels.insert(transfer.channel.clone());
            }
        }
        // What was waited in this call is in its `blocked_ns`, if that is known; what was waited in another is not.
        let (in_call, elsewhere) = match waited {
            Some(waited) if waited.is_in(transfer) => (waited.ns, None),
            other => (0, other),
        };
        if let Some(waited) = elsewhere {
            self.charge(&waited);
        }
        let blocked = transfer.call.blocked_ns.unwrap_or(in_call);
        let origins = transfer.from.iter().flatten().filter(|_| transfer.mechanism.is_socket());
        let pairs: Vec<_> = origins.filter_map(|origin| Some((*self.by_pid.get(&origin.pid)?, key))).collect();
        let channel = self.channel_mut(&transfer.channel, transfer.mechanism);
        channel.pairs.extend(pairs);
        channel.charge(side, blocked);
        channel.eof |= transfer.eof;
        channel.unknown = channel.unknown.saturating_add(u64::from(transfer.from_unknown.is_some()));
        channel.slots = transfer.slots.or(channel.slots);
        channel.slots_used = transfer.slots_used.or(channel.slots_used);
        if let Some(fill) = transfer.fill {
            let fill = channel.directions.after(side, transfer, fill);
            channel.sample(t, fill);
        }
        if transfer.bytes.is_some() && transfer.error.is_none() {
            channel.count(side, key, bytes, t);
            let queues = matches!(transfer.mechanism, ChannelType::Udp | ChannelType::UnixDgram);
            channel.depth = transfer.depth.filter(|_| queues && channel.receivers.len() <= 1);
        }
    }

    /// Time waited in a call that will not tell of it itself.
    pub(super) fn charge(&mut self, waited: &Waited) {
        if let Some(channel) = self.channels.get_mut(&waited.channel) {
            channel.charge(waited.side, waited.ns);
        }
    }

    /// The process no longer holds the channel at that descriptor.
    pub(super) fn let_go(&mut self, key: ProcessKey, fd: i32, id: &ChannelId) {
        let t = self.now;
        let Some(channel) = self.channels.get_mut(id) else { return };
        if channel.holders.remove(&(key, fd)).is_some() && channel.holders.is_empty() {
            channel.gone = Some(t);
            self.unheld.insert((t, id.clone()));
        }
    }

    fn take_hold(&mut self, key: ProcessKey, fd: i32, id: &ChannelId, end: End) {
        let Some(process) = self.processes.get_mut(&key).filter(|process| process.ended.is_none()) else { return };
        // dup2(2) closes what the number stood for before.
        if let Some((before, _)) = process.descriptors.insert(fd, (id.clone(), end))
            && before != *id
        {
            self.let_go(key, fd, &before);
        }
        if let Some(channel) = self.channels.get_mut(id)
            && channel.holders.insert((key, fd), end).is_none()
            && channel.holders.len() == 1
        {
            self.unheld.remove(&(channel.gone.unwrap_or(channel.born), id.clone()));
            channel.gone = None;
        }
    }

    /// For a copy of a descriptor: which end the original is.
    fn end_of_origin(&self, key: ProcessKey, change: &ChannelEvent) -> Option<End> {
        let (holder, fd) = match change.event {
            ChannelChange::Duplicated => (self.processes.get(&key)?, change.of_fd?),
            ChannelChange::Inherited => (self.process(change.peer?.pid)?, change.fd?),
            _ => return None,
        };
        holder.descriptors.get(&fd).filter(|(id, _)| *id == change.channel).map(|(_, end)| *end)
    }

    fn channel_mut(&mut self, id: &ChannelId, mechanism: ChannelType) -> &mut Channel {
        let t = self.now;
        let Self { channels, next_channel, unheld, .. } = self;
        channels.ensure(id, || {
            let index = *next_channel;
            *next_channel = index.wrapping_add(1);
            unheld.insert((t, id.clone()));
            Channel::new(id.clone(), mechanism, index, t)
        })
    }
}
