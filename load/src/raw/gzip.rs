//! Just enough of gzip to send some nobody asked for: a stored member, and a small one that inflates to a large one.

/// A gzip member that stores `plain` as it is (at most 65,535 bytes).
pub(super) fn gzip_stored(plain: &[u8]) -> Vec<u8> {
    let len = plain.len() as u16;
    let block = [&[1], &len.to_le_bytes()[..], &(!len).to_le_bytes()[..], plain].concat();
    gzip(&block, crc32(plain.iter().copied()), plain.len())
}

/// A gzip member of about `len` bytes that inflates to about 160 times as many zeros.
pub(super) fn gzip_bomb(len: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(0b011, 3); // last block, fixed codes
    bits.push_code(0b0011_0000, 8); // literal 0
    let mut inflated = 1;
    while bits.bytes.len() + 20 < len {
        bits.push_code(0b1100_0101, 8); // length 258 ...
        bits.push_code(0, 5); // ... from distance 1
        inflated += 258;
    }
    bits.push_code(0, 7); // end of block
    bits.push(0, 7); // fills the last byte
    gzip(&bits.bytes, crc32(std::iter::repeat_n(0, inflated)), inflated)
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    pending_len: u32,
}

impl Bits {
    /// Least significant bit first, as deflate stores numbers.
    fn push(&mut self, value: u32, len: u32) {
        self.pending |= value << self.pending_len;
        self.pending_len += len;
        while self.pending_len >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.pending_len -= 8;
        }
    }

    /// Most significant bit first, as deflate stores codes.
    fn push_code(&mut self, code: u32, len: u32) {
        self.push(code.reverse_bits() >> (32 - len), len);
    }
}

fn gzip(block: &[u8], crc: u32, inflated: usize) -> Vec<u8> {
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    [&head[..], block, &crc.to_le_bytes(), &(inflated as u32).to_le_bytes()].concat()
}

fn crc32(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_that_of_gzip() {
        assert_eq!(crc32(b"123456789".iter().copied()), 0xcbf4_3926);
    }
}
