//! Bytes from a seed, for keys and salts that are always the same from the same: nothing here draws randomness.
use rsa::rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use std::convert::Infallible;

/// A stream of bytes from a seed: SHA-256 over seed, purpose and a counter, each hashed by itself first.
pub(super) struct Stream {
    seed: Vec<u8>,
    counter: u64,
    rest: Vec<u8>,
}

impl Stream {
    pub(super) fn new(secret: &[u8], purpose: &[u8]) -> Self {
        let seed = [Sha256::digest(secret), Sha256::digest(purpose)].concat();
        Self { seed, counter: 0, rest: Vec::new() }
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length {
            let block = Sha256::new().chain_update(&self.seed).chain_update(self.counter.to_be_bytes()).finalize();
            self.rest.extend_from_slice(&block);
            self.counter += 1;
        }
        let later = self.rest.split_off(length);
        std::mem::replace(&mut self.rest, later)
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.bytes(4).iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.bytes(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        let bytes = self.bytes(target.len());
        target.copy_from_slice(&bytes);
        Ok(())
    }
}

impl TryCryptoRng for Stream {}
