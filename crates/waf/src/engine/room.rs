//! Memory for transactions, used again by the next on the same thread.
//!
//! A transaction that begins where others have ended allocates next to nothing. What a large request took is given
//! back to the process instead.

use std::cell::RefCell;

use super::data::Data;
use super::state::StateRoom;

/// Rooms that a thread keeps: transactions that wait at once for a body or an answer each have one.
const ROOMS: usize = 32;
/// Bytes of the largest room that is kept.
const ROOM_BYTES: usize = 512 << 10;

/// Memory of one transaction.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) data: Data,
    pub(super) state: StateRoom,
}

thread_local! {
    static ROOMS_OF_THREAD: RefCell<Vec<Room>> = const { RefCell::new(Vec::new()) };
}

impl Room {
    /// A room that was used before, or a new one.
    pub(super) fn take() -> Self {
        let used = ROOMS_OF_THREAD.with_borrow_mut(Vec::pop);
        used.unwrap_or_else(|| Self { data: Data::new(), state: StateRoom::default() })
    }

    /// Keeps the room for another transaction, emptied.
    pub(super) fn give_back(mut self) {
        if self.data.room() + self.state.bytes() > ROOM_BYTES {
            return;
        }
        self.data.clear();
        ROOMS_OF_THREAD.with_borrow_mut(|rooms| {
            if rooms.len() < ROOMS {
                rooms.push(self);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_used_again_unless_it_is_large() {
        let mut room = Room::take();
        room.data.keep(b"secret").unwrap();
        room.give_back();
        let mut room = Room::take();
        assert_eq!(room.data.len(), 1);
        room.data.keep(&vec![0; ROOM_BYTES]).unwrap();
        room.give_back();
        assert!(Room::take().data.room() < ROOM_BYTES);
    }
}
