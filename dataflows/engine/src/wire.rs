//! Wire forms: the bytes of what workers of different processes send each other.
//!
//! Bit-exact and fixed: numbers little-endian, floats as their bits, lists and texts after their
//! length in 4 bytes, members in the order in which they are declared. Nothing here is durable:
//! [`VERSION`] is compared before the first epoch, and processes of another version are refused.
//! Within a process values move by reference and nothing of this runs.

mod deltas;
mod events;
pub(crate) mod parcel;

use std::collections::BTreeMap;
use std::sync::Arc;

/// Raised whenever a wire form or the exchange of values changes.
pub(crate) const VERSION: u32 = 3;

/// Bytes that are no wire form of what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the wire form of {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Takes bytes: a buffer, or a mere count of them.
pub(crate) trait Out {
    /// Takes these next.
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// How many bytes were put.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Length(pub(crate) usize);

impl Out for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// A value with a wire form.
pub(crate) trait Wire: Sized {
    /// Writes the value.
    fn put(&self, out: &mut impl Out);

    /// Reads what [`Self::put`] wrote.
    fn take(from: &mut Input<'_>) -> Result<Self, Malformed>;

    /// Writes several, without their number.
    fn put_all(items: &[Self], out: &mut impl Out) {
        items.iter().for_each(|item| item.put(out));
    }

    /// Reads so many.
    fn take_all(count: usize, from: &mut Input<'_>) -> Result<Vec<Self>, Malformed> {
        // Every value has a byte or more, so a wrong count cannot ask for more than there is.
        let mut items = Vec::with_capacity(count.min(from.0.len()));
        for _ in 0..count {
            items.push(Self::take(from)?);
        }
        Ok(items)
    }
}

/// Bytes yet to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// The next `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) =
            self.0.split_at_checked(count).ok_or(Malformed("anything: too short"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| Malformed("a number"))
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let count = u32::take(self)? as usize;
        std::str::from_utf8(self.bytes(count)?).map_err(|_| Malformed("a text"))
    }
}

/// Writes a list after its length.
pub(crate) fn put_list<T: Wire>(items: &[T], out: &mut impl Out) {
    (items.len() as u32).put(out);
    T::put_all(items, out);
}

/// Writes a text after its length in bytes.
pub(crate) fn put_text(text: &str, out: &mut impl Out) {
    (text.len() as u32).put(out);
    out.put(text.as_bytes());
}

/// Numbers: little-endian bytes. Many are copied in blocks, since vectors are most of the traffic.
macro_rules! wire_numbers {
    ($($number:ty)*) => {$(
        impl Wire for $number {
            fn put(&self, out: &mut impl Out) {
                out.put(&self.to_le_bytes());
            }

            fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
                from.array().map(Self::from_le_bytes)
            }

            fn put_all(items: &[Self], out: &mut impl Out) {
                const SIZE: usize = size_of::<$number>();
                const BLOCK: usize = 256;
                let mut bytes = [0; BLOCK * SIZE];
                for block in items.chunks(BLOCK) {
                    for (to, item) in bytes.chunks_exact_mut(SIZE).zip(block) {
                        to.copy_from_slice(&item.to_le_bytes());
                    }
                    out.put(&bytes[..block.len() * SIZE]);
                }
            }

            fn take_all(count: usize, from: &mut Input<'_>) -> Result<Vec<Self>, Malformed> {
                const SIZE: usize = size_of::<$number>();
                let size = count.checked_mul(SIZE).ok_or(Malformed("a list: too long"))?;
                let bytes = from.bytes(size)?.chunks_exact(SIZE);
                let number = |bytes: &[u8]| {
                    Self::from_le_bytes(bytes.try_into().expect("chunks have this size"))
                };
                Ok(bytes.map(number).collect())
            }
        }
    )*};
}

wire_numbers!(u8 u16 u32 u64 i64 f32 f64);

/// Structs, member by member. A member that is left out does not compile.
macro_rules! wire_struct {
    ($name:path { $($member:ident),* $(,)? }) => {
        impl crate::wire::Wire for $name {
            fn put(&self, out: &mut impl crate::wire::Out) {
                let Self { $($member),* } = self;
                $(crate::wire::Wire::put($member, out);)*
            }

            fn take(
                from: &mut crate::wire::Input<'_>,
            ) -> Result<Self, crate::wire::Malformed> {
                $(let $member = crate::wire::Wire::take(from)?;)*
                Ok(Self { $($member),* })
            }
        }
    };
}
pub(crate) use wire_struct;

impl Wire for bool {
    fn put(&self, out: &mut impl Out) {
        u8::from(*self).put(out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a truth value")),
        }
    }
}

impl Wire for usize {
    fn put(&self, out: &mut impl Out) {
        (*self as u64).put(out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        Self::try_from(u64::take(from)?).map_err(|_| Malformed("a size"))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut impl Out) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        if bool::take(from)? { T::take(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut impl Out) {
        put_list(self, out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        let count = u32::take(from)? as usize;
        T::take_all(count, from)
    }
}

impl<T: Wire> Wire for Arc<[T]> {
    fn put(&self, out: &mut impl Out) {
        put_list(self, out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        Vec::take(from).map(Self::from)
    }
}

impl<T: Wire> Wire for Arc<T> {
    fn put(&self, out: &mut impl Out) {
        (**self).put(out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        T::take(from).map(Self::new)
    }
}

impl<T: Wire, const N: usize> Wire for [T; N] {
    fn put(&self, out: &mut impl Out) {
        T::put_all(self, out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        let items = T::take_all(N, from)?;
        items.try_into().map_err(|_| Malformed("an array"))
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut impl Out) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

impl Wire for String {
    fn put(&self, out: &mut impl Out) {
        put_text(self, out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        from.text().map(Self::from)
    }
}

impl Wire for Arc<str> {
    fn put(&self, out: &mut impl Out) {
        put_text(self, out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        from.text().map(Self::from)
    }
}

impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn put(&self, out: &mut impl Out) {
        (self.len() as u32).put(out);
        self.iter().for_each(|(key, value)| {
            key.put(out);
            value.put(out);
        });
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        let count = u32::take(from)?;
        (0..count).map(|_| <(K, V)>::take(from)).collect()
    }
}

/// The whole of `bytes` as one value.
#[cfg(test)]
pub(crate) fn from_bytes<T: Wire>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut from = Input(bytes);
    let value = T::take(&mut from)?;
    if from.0.is_empty() { Ok(value) } else { Err(Malformed("one value: more follows")) }
}

/// The wire form of a value.
#[cfg(test)]
pub(crate) fn to_bytes(value: &impl Wire) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.put(&mut bytes);
    let mut length = Length::default();
    value.put(&mut length);
    assert_eq!(length.0, bytes.len(), "the length is what is written");
    bytes
}
