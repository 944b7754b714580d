//! The pieces that entries are made of: numbers and bytes with their length, little-endian.

use crate::stream::entry::EntryError;

/// A length of 4 bytes and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let size = u32::try_from(bytes.len()).expect("the protocol bounds messages below 4 GiB");
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Takes pieces off the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], EntryError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(EntryError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, EntryError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, EntryError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, EntryError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, EntryError> {
        let size = u32::from_le_bytes(self.array()?) as usize;
        let (bytes, rest) = self.0.split_at_checked(size).ok_or(EntryError::Truncated)?;
        self.0 = rest;
        Ok(bytes.to_vec())
    }

    pub(crate) fn text(&mut self) -> Result<String, EntryError> {
        String::from_utf8(self.bytes()?).map_err(|_| EntryError::NotText)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), EntryError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(EntryError::TrailingBytes)
        }
    }
}
