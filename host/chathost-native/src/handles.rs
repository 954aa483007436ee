//! Numbers that stand for things, for a plugin that may give back anything at any time. A leaf.
//!
//! A number that was given back stands for nothing from then on, also when its place is taken again; and none is 0.

/// Things by number.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    /// How often the place was taken, at least 1.
    turn: u32,
    thing: Option<T>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Handles<T> {
    pub(crate) fn insert(&mut self, thing: T) -> u64 {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get_mut(index as usize)
        {
            place.turn = place.turn.wrapping_add(1).max(1);
            place.thing = Some(thing);
            return handle(place.turn, index);
        }
        let index = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Place {
            turn: 1,
            thing: Some(thing),
        });
        handle(1, index)
    }

    pub(crate) fn get(&self, handle: u64) -> Option<&T> {
        self.places
            .get(index(handle))
            .filter(|place| place.turn == turn(handle))?
            .thing
            .as_ref()
    }

    pub(crate) fn get_mut(&mut self, handle: u64) -> Option<&mut T> {
        self.places
            .get_mut(index(handle))
            .filter(|place| place.turn == turn(handle))?
            .thing
            .as_mut()
    }

    pub(crate) fn remove(&mut self, handle: u64) -> Option<T> {
        let place = self
            .places
            .get_mut(index(handle))
            .filter(|place| place.turn == turn(handle))?;
        let thing = place.thing.take()?;
        self.free.push(handle as u32);
        Some(thing)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.thing.as_ref())
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let all = (0..)
            .zip(&self.places)
            .map(|(index, place)| handle(place.turn, index));
        let all: Vec<u64> = all.collect();
        all.into_iter().filter_map(|handle| self.remove(handle)).collect()
    }
}

fn handle(turn: u32, index: u32) -> u64 {
    u64::from(turn) << 32 | u64::from(index)
}

fn turn(handle: u64) -> u32 {
    (handle >> 32) as u32
}

fn index(handle: u64) -> usize {
    handle as u32 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_number_stands_for_nothing() {
        let mut handles = Handles::default();
        let (a, b) = (handles.insert("a"), handles.insert("b"));
        assert_ne!(a, 0);
        assert_eq!(handles.remove(a), Some("a"));
        assert_eq!(handles.remove(a), None);
        let c = handles.insert("c");
        assert_eq!(
            (handles.get(a), handles.get(b), handles.get(c)),
            (None, Some(&"b"), Some(&"c"))
        );
        assert_eq!((handles.get(0), handles.get(u64::MAX)), (None, None));
        assert_eq!(handles.len(), 2);
        assert_eq!(handles.drain(), ["c", "b"]);
        assert_eq!((handles.len(), handles.get(c)), (0, None));
    }
}
