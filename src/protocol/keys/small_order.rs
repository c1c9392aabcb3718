//! The points of small order, as bytes (RFC 8032, section 5.1.2: `y`, little-endian, with the sign of `x` on top).

/// Whether these bytes begin with the canonical encoding of a point of small order.
pub(super) fn begins(bytes: &[u8]) -> bool {
    POINTS.iter().any(|point| bytes.starts_with(point))
}

// The canonical encodings of the eight points of small order: y is 1, -1, 0 twice, and two values twice each.
pub(super) const POINTS: [[u8; 32]; 8] = {
    const FOUR: [u8; 32] = [0; 32];
    const EIGHT: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut one = [0; 32];
    one[0] = 1;
    let mut two = [0xff; 32];
    (two[0], two[31]) = (0xec, 0x7f);
    let [eight, other] = EIGHT;
    [one, two, FOUR, negated(FOUR), eight, negated(eight), other, negated(other)]
};

// The sign of x is the highest bit.
const fn negated(mut point: [u8; 32]) -> [u8; 32] {
    point[31] |= 0x80;
    point
}
