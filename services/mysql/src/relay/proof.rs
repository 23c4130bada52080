//! The proofs of a password, by authentication plugin.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ring::digest::{Algorithm, Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512};
use ring::pbkdf2;
use ring::signature::Ed25519KeyPair;
use secrecy::zeroize::Zeroizing;

/// The digest of the parts, one after the other.
fn digest(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    context.finish()
}

/// The two digests, combined by exclusive or.
fn combined(one: &Digest, other: &Digest) -> Vec<u8> {
    one.as_ref().iter().zip(other.as_ref()).map(|(one, other)| one ^ other).collect()
}

/// `mysql_native_password`: `SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password)))`.
/// The protocol is in its [documentation].
///
/// [documentation]: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods_native_password_authentication.html
pub(super) fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[password]);
    let twice = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[once.as_ref()]);
    combined(&once, &digest(&SHA1_FOR_LEGACY_USE_ONLY, &[nonce, twice.as_ref()]))
}

/// The fast proof of `caching_sha2_password`:
/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)) + nonce)`.
/// The protocol is in its [documentation].
///
/// [documentation]: https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html
pub(super) fn caching_sha2(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = digest(&SHA256, &[password]);
    let twice = digest(&SHA256, &[once.as_ref()]);
    combined(&once, &digest(&SHA256, &[twice.as_ref(), nonce]))
}

/// `client_ed25519`: a signature of the nonce. It is Ed25519 (RFC 8032, 5.1.6) with a password of
/// any length in place of the 32 bytes of a key.
/// The protocol is in its [documentation].
///
/// [documentation]: https://mariadb.com/docs/server/reference/plugins/authentication-plugins/authentication-with-ed25519
pub(super) fn ed25519(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let wide = |parts: &[&[u8]]| {
        let mut bytes = Zeroizing::new([0; 64]);
        bytes.copy_from_slice(digest(&SHA512, parts).as_ref());
        bytes
    };
    let expanded = wide(&[password]);
    let (secret, prefix) = expanded.split_at(32);
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(secret);
    let key = Zeroizing::new(Scalar::from_bytes_mod_order(clamp_integer(*key)));
    let public = EdwardsPoint::mul_base(&key).compress();
    let one_time = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide(&[prefix, nonce])));
    let commitment = EdwardsPoint::mul_base(&one_time).compress();
    let challenge = Scalar::from_bytes_mod_order_wide(&wide(&[
        commitment.as_bytes(),
        public.as_bytes(),
        nonce,
    ]));
    let response = *one_time + challenge * *key;
    [*commitment.as_bytes(), response.to_bytes()].concat()
}

/// The parameters of `parsec` for one account: how its key is derived from the password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExtendedSalt {
    iterations: std::num::NonZeroU32,
    salt: [u8; 18],
}

impl ExtendedSalt {
    /// The most iterations, as a power of two: 524,288. MariaDB's own clients accept 8,192.
    const MOST_BITS: u8 = 19;

    /// Reads `P`, the iterations as a power of two less ten, and the salt. `None` if it is another
    /// function, or if the iterations would hold this process up.
    /// The protocol is in its [documentation].
    ///
    /// [documentation]: https://mariadb.com/docs/server/reference/plugins/authentication-plugins/authentication-plugin-parsec
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let [b'P', factor, salt @ ..] = packet else { return None };
        let bits = factor.checked_add(10).filter(|bits| *bits <= Self::MOST_BITS)?;
        Some(Self { iterations: (1 << bits).try_into().ok()?, salt: salt.try_into().ok()? })
    }

    /// Derives the account's key, which takes up to a second.
    pub(super) fn key(&self, password: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
        pbkdf2::derive(algorithm, self.iterations, &self.salt, password, &mut *key);
        key
    }
}

/// `parsec`: the client's nonce, and a signature of both nonces. `None` if the key is no key.
pub(super) fn parsec(key: &[u8; 32], servers: &[u8; 32], own: &[u8; 32]) -> Option<Vec<u8>> {
    let key = Ed25519KeyPair::from_seed_unchecked(key).ok()?;
    let signature = key.sign(&[*servers, *own].concat());
    Some([&own[..], signature.as_ref()].concat())
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, KeyPair as _, UnparsedPublicKey};

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The vectors of other drivers, and one of the MySQL 5.7 that JDBC talked to.
    #[test]
    fn proofs_are_those_of_other_drivers() {
        assert_eq!(
            hex(&native(b"kingshard", b"@jx=d_3z42;sS$YrS)p|")),
            "fbc71db5ac3d7b51048d1a1d88c1677f34bcca11"
        );
        let nonce =
            [10, 47, 74, 111, 75, 73, 34, 48, 88, 76, 114, 74, 37, 13, 3, 80, 82, 2, 23, 21];
        for (password, proof) in [
            ("secret", "f490e76f66d9d86665ce54d98c78d0acfe2fb0b08b423da807144873d30b312c"),
            ("secret2", "abc3934a012cf342e876071c8ee202de51785b430258a7a0138bc79c4d800bc6"),
        ] {
            assert_eq!(hex(&caching_sha2(password.as_bytes(), &nonce)), proof);
        }
    }

    /// `SELECT ed25519_password('secret')` on a server.
    const SECRET: &[u8; 32] = b"\x64\x88\x14\x44\x45\x20\xe4\xf5\x60\x43\xa2\xec\x92\x15\xe6\x3b\
        \xe7\x99\x2d\x2d\x27\x0b\xc6\xde\xe8\x73\xe3\x61\x64\x78\x60\x96";

    #[test]
    fn a_signature_of_ed25519_fits_the_key_that_a_server_keeps() {
        let nonce = [7; 32];
        let signature = ed25519(b"secret", &nonce);
        UnparsedPublicKey::new(&ED25519, SECRET).verify(&nonce, &signature).unwrap();
        assert!(UnparsedPublicKey::new(&ED25519, SECRET).verify(&[8; 32], &signature).is_err());
    }

    /// A password of 32 bytes is a key of RFC 8032.
    #[test]
    fn a_signature_of_ed25519_is_the_one_of_the_rfc() {
        for (seed, length) in [(0_u8, 0), (1, 1), (77, 32), (255, 100)] {
            let password = [seed; 32];
            let nonce = vec![seed.wrapping_mul(3); length];
            let key = Ed25519KeyPair::from_seed_unchecked(&password).unwrap();
            assert_eq!(ed25519(&password, &nonce), key.sign(&nonce).as_ref());
        }
    }

    /// MariaDB's release notes: the account has
    /// `P0:lhXyNv1cIxpB8EnTxR7ON7S7:1l3rWRW1/jw45yrvYXB8eh02wzk7lcJcz4CMcWw2b+8`.
    #[test]
    fn a_key_of_parsec_is_the_one_that_a_server_keeps() {
        let salt = b"P\0\x96\x15\xf2\x36\xfd\x5c\x23\x1a\x41\xf0\x49\xd3\xc5\x1e\xce\x37\xb4\xbb";
        let salt = ExtendedSalt::read(salt).unwrap();
        assert_eq!(salt.iterations.get(), 1024);
        let key = salt.key(b"MyPassword123!");
        let public = Ed25519KeyPair::from_seed_unchecked(&*key).unwrap();
        assert_eq!(
            hex(public.public_key().as_ref()),
            "d65deb5915b5fe3c38e72aef61707c7a1d36c3393b95c25ccf808c716c366fef"
        );
        let proof = parsec(&key, &[1; 32], &[2; 32]).unwrap();
        let (own, signature) = proof.split_at(32);
        assert_eq!(own, [2; 32]);
        let signed = [[1; 32], [2; 32]].concat();
        UnparsedPublicKey::new(&ED25519, public.public_key()).verify(&signed, signature).unwrap();
    }

    #[test]
    fn parameters_of_parsec_are_bounded() {
        let salt = |kind: u8, factor: u8, length: usize| {
            ExtendedSalt::read(&[&[kind, factor][..], &vec![0; length]].concat())
        };
        assert_eq!(salt(b'P', 3, 18).unwrap().iterations.get(), 8192);
        assert_eq!(salt(b'P', 9, 18).unwrap().iterations.get(), 524_288);
        for (kind, factor, length) in [
            (b'P', 10, 18),
            (b'P', 22, 18),
            (b'P', 255, 18),
            (b'P', 0, 17),
            (b'P', 0, 19),
            (b'P', 0, 0),
            (b'Q', 0, 18),
        ] {
            assert_eq!(salt(kind, factor, length), None, "{kind} {factor} {length}");
        }
        assert_eq!(ExtendedSalt::read(b"P"), None);
    }
}
