//! All channels of a world, by name.
//!
//! A copy of a world (there is one every few ten thousand events of a recording) shares those that do not change any more;
//! one that does is copied when it first changes.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use super::Channel;
use crate::event::ChannelId;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels(BTreeMap<ChannelId, Arc<Channel>>);

impl Channels {
    /// That one.
    pub fn get(&self, id: &ChannelId) -> Option<&Channel> {
        self.0.get(id).map(AsRef::as_ref)
    }

    /// There is one of that name.
    pub fn contains_key(&self, id: &ChannelId) -> bool {
        self.0.contains_key(id)
    }

    /// All, in order of name.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Channel> + Clone {
        self.0.values().map(AsRef::as_ref)
    }

    /// All names, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &ChannelId> {
        self.0.keys()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// To change it.
    pub(super) fn get_mut(&mut self, id: &ChannelId) -> Option<&mut Channel> {
        self.0.get_mut(id).map(Arc::make_mut)
    }

    /// The same; if there is none, it is made.
    pub(super) fn ensure(&mut self, id: &ChannelId, new: impl FnOnce() -> Channel) -> &mut Channel {
        Arc::make_mut(match self.0.entry(id.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Arc::new(new())),
        })
    }

    pub(super) fn remove(&mut self, id: &ChannelId) -> Option<Arc<Channel>> {
        self.0.remove(id)
    }
}
