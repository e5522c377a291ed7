//! The id of an SQD worker: a libp2p peer id, 38 bytes, written in base58.
//! Refuses keys of other kinds than ed25519, which the network does not use.

/// The bytes before the 32 bytes of the key: an identity multihash of 36 bytes that holds an ed25519 public key.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Which worker of an assignment is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerId(pub(crate) [u8; 38]);

impl PeerId {
    /// Reads `12D3KooW...`.
    pub(crate) fn parse(text: &str) -> Result<PeerId, String> {
        let refused =
            || "a worker's id is a peer id in base58, such as 12D3KooW... (52 characters)".to_string();
        // The number is built in the 38 bytes from the end; what does not fit is too long.
        let mut bytes = [0u8; 38];
        for letter in text.bytes() {
            let digit = ALPHABET.iter().position(|&known| known == letter).ok_or_else(refused)?;
            let mut carry = u32::try_from(digit).map_err(|_| refused())?;
            for byte in bytes.iter_mut().rev() {
                carry += u32::from(*byte) * 58;
                *byte = carry.to_le_bytes()[0];
                carry >>= 8;
            }
            if carry != 0 {
                return Err(refused());
            }
        }
        // Each leading zero byte is written as one `1`; a peer id begins with exactly one.
        let ones = text.bytes().take_while(|&letter| letter == b'1').count();
        if !bytes.starts_with(&PREFIX) || ones != 1 {
            return Err(refused());
        }
        Ok(PeerId(bytes))
    }

    /// Writes what [`PeerId::parse`] reads.
    pub(crate) fn text(&self) -> String {
        let mut digits: Vec<u8> = Vec::with_capacity(52);
        for &byte in &self.0 {
            let mut carry = u32::from(byte);
            for digit in &mut digits {
                carry += u32::from(*digit) << 8;
                *digit = (carry % 58).to_le_bytes()[0];
                carry /= 58;
            }
            while carry > 0 {
                digits.push((carry % 58).to_le_bytes()[0]);
                carry /= 58;
            }
        }
        let zeros = self.0.iter().take_while(|&&byte| byte == 0).map(|_| '1');
        zeros
            .chain(
                digits.iter().rev().filter_map(|&digit| ALPHABET.get(usize::from(digit))).map(|&c| c.into()),
            )
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A worker's id with a key of `byte` only.
    pub(crate) fn peer_of(byte: u8) -> PeerId {
        let mut bytes = [byte; 38];
        bytes[..6].copy_from_slice(&PREFIX);
        PeerId(bytes)
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        for byte in 0..=255 {
            let peer = peer_of(byte);
            let text = peer.text();
            assert_eq!(text.len(), 52, "{text}");
            assert!(text.starts_with("12D3KooW"), "{text}");
            assert_eq!(PeerId::parse(&text), Ok(peer));
        }
    }

    #[test]
    fn what_is_not_a_worker_id_is_refused() {
        let good = peer_of(7).text();
        for text in [
            String::new(),
            "1".repeat(38),
            "z".repeat(60),
            good.replace('1', ""),
            format!("1{good}"),
            format!("{good}1"),
            good.replace('D', "0"),
            good[..51].to_string(),
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".to_string(),
        ] {
            assert!(PeerId::parse(&text).is_err(), "{text} was taken");
        }
    }
}
