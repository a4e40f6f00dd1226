//! Countries by their ISO 3166-1 alpha-2 code, and where they are.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown, text_value};

/// A country, territory or area with an ISO 3166-1 alpha-2 code, or Kosovo under `XK`, which the standard leaves to its
/// users and geographic databases use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(u8);

impl Country {
    /// How many there are.
    pub const COUNT: usize = TABLE.len();

    /// The country with this code, in upper case.
    pub fn from_code(code: [u8; 2]) -> Option<Self> {
        TABLE.binary_search_by_key(&code, |(code, ..)| *code).ok().map(|index| Self(index as u8))
    }

    /// All of them, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(|index| Self(index as u8))
    }

    /// The code.
    pub fn code(self) -> &'static str {
        std::str::from_utf8(&TABLE[self.index()].0).unwrap_or_default()
    }

    /// Its place among [`all`](Self::all).
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The way from the middle of one country to the middle of the other along a great circle, in kilometres; good to
    /// some hundred. 0 for the same country.
    pub fn distance_km(self, other: Self) -> u16 {
        const EARTH_RADIUS_KM: f64 = 6_371.0;
        let radians = |(_, latitude, longitude): ([u8; 2], i8, i16)| {
            (f64::from(latitude).to_radians(), f64::from(longitude).to_radians())
        };
        let (from, to) = (radians(TABLE[self.index()]), radians(TABLE[other.index()]));
        let (south, east) = ((to.0 - from.0) / 2.0, (to.1 - from.1) / 2.0);
        let haversine = south.sin().powi(2) + from.0.cos() * to.0.cos() * east.sin().powi(2);
        (2.0 * EARTH_RADIUS_KM * haversine.clamp(0.0, 1.0).sqrt().asin()) as u16
    }
}

impl FromStr for Country {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let code = <[u8; 2]>::try_from(text.as_bytes()).ok();
        code.and_then(Self::from_code).ok_or_else(|| {
            let upper = text.to_ascii_uppercase();
            let known = <[u8; 2]>::try_from(upper.as_bytes()).ok().and_then(Self::from_code);
            let hint = match (known, &*upper) {
                (Some(country), _) => format!("write `{}`, in upper case", country.code()),
                // The country's own name for itself, and the code that ISO reserves for it.
                (None, "UK") => "the United Kingdom is `GB`".to_owned(),
                _ => "write an ISO 3166 code of two letters, such as `DE`".to_owned(),
            };
            Invalid::new(format!("`{}` is not a country", shown(text)), hint)
        })
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

text_value!(Country, "a country", {
    "type": "string",
    "description": "ISO 3166-1 alpha-2 code, in upper case.",
    "pattern": "^[A-Z]{2}$",
    "examples": ["DE"]
});

/// A country in a list, or `unknown` for all addresses of which no database knows a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListedCountry(Option<Country>);

/// How a list names those whose country is not known.
const UNKNOWN: &str = "unknown";

impl ListedCountry {
    /// The country; `None`: not known.
    pub fn country(self) -> Option<Country> {
        self.0
    }
}

impl FromStr for ListedCountry {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == UNKNOWN { Ok(Self(None)) } else { text.parse().map(|country| Self(Some(country))) }
    }
}

impl fmt::Display for ListedCountry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or(UNKNOWN, Country::code))
    }
}

text_value!(ListedCountry, "a country", {
    "type": "string",
    "description": "ISO 3166-1 alpha-2 code, in upper case, or `unknown`.",
    "pattern": "^([A-Z]{2}|unknown)$",
    "examples": ["DE", "unknown"]
});

/// Code, latitude and longitude of about the middle, in degrees; in the order of the codes.
#[rustfmt::skip]
const TABLE: [([u8; 2], i8, i16); 250] = [
    (*b"AD", 42, 2), (*b"AE", 24, 54), (*b"AF", 34, 66), (*b"AG", 17, -62), (*b"AI", 18, -63),
    (*b"AL", 41, 20), (*b"AM", 40, 45), (*b"AO", -12, 18), (*b"AQ", -80, 0), (*b"AR", -34, -64),
    (*b"AS", -14, -171), (*b"AT", 48, 14), (*b"AU", -25, 134), (*b"AW", 13, -70), (*b"AX", 60, 20),
    (*b"AZ", 40, 48), (*b"BA", 44, 18), (*b"BB", 13, -60), (*b"BD", 24, 90), (*b"BE", 51, 5),
    (*b"BF", 12, -2), (*b"BG", 43, 25), (*b"BH", 26, 51), (*b"BI", -3, 30), (*b"BJ", 9, 2),
    (*b"BL", 18, -63), (*b"BM", 32, -65), (*b"BN", 5, 115), (*b"BO", -17, -65), (*b"BQ", 12, -68),
    (*b"BR", -11, -53), (*b"BS", 24, -77), (*b"BT", 27, 90), (*b"BV", -54, 3), (*b"BW", -22, 24),
    (*b"BY", 53, 28), (*b"BZ", 17, -89), (*b"CA", 57, -98), (*b"CC", -12, 97), (*b"CD", -3, 24),
    (*b"CF", 7, 21), (*b"CG", -1, 15), (*b"CH", 47, 8), (*b"CI", 8, -6), (*b"CK", -21, -160),
    (*b"CL", -36, -71), (*b"CM", 6, 13), (*b"CN", 36, 104), (*b"CO", 4, -73), (*b"CR", 10, -84),
    (*b"CU", 22, -79), (*b"CV", 16, -24), (*b"CW", 12, -69), (*b"CX", -10, 106), (*b"CY", 35, 33),
    (*b"CZ", 50, 15), (*b"DE", 51, 10), (*b"DJ", 12, 43), (*b"DK", 56, 10), (*b"DM", 15, -61),
    (*b"DO", 19, -70), (*b"DZ", 28, 3), (*b"EC", -1, -78), (*b"EE", 59, 26), (*b"EG", 27, 30),
    (*b"EH", 24, -13), (*b"ER", 15, 39), (*b"ES", 40, -4), (*b"ET", 9, 40), (*b"FI", 64, 26),
    (*b"FJ", -18, 178), (*b"FK", -52, -59), (*b"FM", 7, 158), (*b"FO", 62, -7), (*b"FR", 47, 2),
    (*b"GA", -1, 12), (*b"GB", 54, -2), (*b"GD", 12, -62), (*b"GE", 42, 43), (*b"GF", 4, -53),
    (*b"GG", 49, -3), (*b"GH", 8, -1), (*b"GI", 36, -5), (*b"GL", 72, -42), (*b"GM", 13, -15),
    (*b"GN", 11, -11), (*b"GP", 16, -62), (*b"GQ", 2, 10), (*b"GR", 39, 22), (*b"GS", -54, -37),
    (*b"GT", 15, -90), (*b"GU", 13, 145), (*b"GW", 12, -15), (*b"GY", 5, -59), (*b"HK", 22, 114),
    (*b"HM", -53, 73), (*b"HN", 15, -87), (*b"HR", 45, 16), (*b"HT", 19, -72), (*b"HU", 47, 19),
    (*b"ID", -2, 118), (*b"IE", 53, -8), (*b"IL", 31, 35), (*b"IM", 54, -5), (*b"IN", 22, 79),
    (*b"IO", -7, 72), (*b"IQ", 33, 44), (*b"IR", 32, 54), (*b"IS", 65, -19), (*b"IT", 43, 12),
    (*b"JE", 49, -2), (*b"JM", 18, -77), (*b"JO", 31, 37), (*b"JP", 36, 138), (*b"KE", 0, 38),
    (*b"KG", 41, 75), (*b"KH", 13, 105), (*b"KI", 1, 173), (*b"KM", -12, 44), (*b"KN", 17, -63),
    (*b"KP", 40, 127), (*b"KR", 36, 128), (*b"KW", 29, 48), (*b"KY", 19, -81), (*b"KZ", 48, 67),
    (*b"LA", 19, 103), (*b"LB", 34, 36), (*b"LC", 14, -61), (*b"LI", 47, 10), (*b"LK", 8, 81),
    (*b"LR", 6, -9), (*b"LS", -30, 28), (*b"LT", 55, 24), (*b"LU", 50, 6), (*b"LV", 57, 25),
    (*b"LY", 27, 17), (*b"MA", 32, -6), (*b"MC", 44, 7), (*b"MD", 47, 29), (*b"ME", 43, 19),
    (*b"MF", 18, -63), (*b"MG", -19, 47), (*b"MH", 7, 171), (*b"MK", 42, 22), (*b"ML", 17, -4),
    (*b"MM", 21, 96), (*b"MN", 47, 104), (*b"MO", 22, 114), (*b"MP", 15, 146), (*b"MQ", 15, -61),
    (*b"MR", 20, -11), (*b"MS", 17, -62), (*b"MT", 36, 14), (*b"MU", -20, 57), (*b"MV", 3, 73),
    (*b"MW", -13, 34), (*b"MX", 24, -102), (*b"MY", 4, 110), (*b"MZ", -18, 35), (*b"NA", -22, 17),
    (*b"NC", -21, 165), (*b"NE", 17, 9), (*b"NF", -29, 168), (*b"NG", 10, 8), (*b"NI", 13, -85),
    (*b"NL", 52, 5), (*b"NO", 64, 10), (*b"NP", 28, 84), (*b"NR", -1, 167), (*b"NU", -19, -170),
    (*b"NZ", -42, 172), (*b"OM", 21, 56), (*b"PA", 9, -80), (*b"PE", -9, -75), (*b"PF", -17, -149),
    (*b"PG", -6, 145), (*b"PH", 12, 123), (*b"PK", 30, 69), (*b"PL", 52, 19), (*b"PM", 47, -56),
    (*b"PN", -24, -128), (*b"PR", 18, -66), (*b"PS", 32, 35), (*b"PT", 40, -8), (*b"PW", 7, 134),
    (*b"PY", -23, -58), (*b"QA", 25, 51), (*b"RE", -21, 56), (*b"RO", 46, 25), (*b"RS", 44, 21),
    (*b"RU", 62, 97), (*b"RW", -2, 30), (*b"SA", 24, 45), (*b"SB", -9, 160), (*b"SC", -5, 56),
    (*b"SD", 16, 30), (*b"SE", 62, 15), (*b"SG", 1, 104), (*b"SH", -16, -6), (*b"SI", 46, 15),
    (*b"SJ", 78, 16), (*b"SK", 49, 20), (*b"SL", 9, -12), (*b"SM", 44, 12), (*b"SN", 14, -14),
    (*b"SO", 6, 46), (*b"SR", 4, -56), (*b"SS", 7, 30), (*b"ST", 0, 7), (*b"SV", 14, -89), (*b"SX", 18, -63),
    (*b"SY", 35, 38), (*b"SZ", -27, 31), (*b"TC", 22, -72), (*b"TD", 15, 19), (*b"TF", -49, 70),
    (*b"TG", 9, 1), (*b"TH", 15, 101), (*b"TJ", 39, 71), (*b"TK", -9, -172), (*b"TL", -9, 126),
    (*b"TM", 39, 59), (*b"TN", 34, 10), (*b"TO", -21, -175), (*b"TR", 39, 35), (*b"TT", 10, -61),
    (*b"TV", -8, 179), (*b"TW", 24, 121), (*b"TZ", -6, 35), (*b"UA", 49, 31), (*b"UG", 1, 32),
    (*b"UM", 19, 167), (*b"US", 39, -98), (*b"UY", -33, -56), (*b"UZ", 41, 64), (*b"VA", 42, 12),
    (*b"VC", 13, -61), (*b"VE", 7, -66), (*b"VG", 18, -64), (*b"VI", 18, -65), (*b"VN", 16, 107),
    (*b"VU", -16, 167), (*b"WF", -13, -176), (*b"WS", -14, -172), (*b"XK", 43, 21), (*b"YE", 16, 48),
    (*b"YT", -13, 45), (*b"ZA", -29, 25), (*b"ZM", -13, 28), (*b"ZW", -19, 30),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn country(code: &str) -> Country {
        code.parse().unwrap()
    }

    #[test]
    fn every_code_is_found_again() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        for known in Country::all() {
            assert_eq!(country(known.code()), known);
        }
        for (_, latitude, longitude) in TABLE {
            assert!((-90..=90).contains(&latitude) && (-180..=180).contains(&longitude));
        }
    }

    #[test]
    fn what_is_no_country_is_refused_with_what_would_be() {
        for (text, hint) in [
            ("de", "write `DE`, in upper case"),
            ("UK", "the United Kingdom is `GB`"),
            ("XX", "write an ISO 3166 code of two letters, such as `DE`"),
            ("Germany", "write an ISO 3166 code of two letters, such as `DE`"),
            ("", "write an ISO 3166 code of two letters, such as `DE`"),
        ] {
            assert_eq!(text.parse::<Country>().unwrap_err().hint, hint, "{text}");
            assert!(text.parse::<ListedCountry>().is_err());
        }
        assert_eq!("unknown".parse::<ListedCountry>().unwrap().country(), None);
        assert!("unknown".parse::<Country>().is_err());
    }

    #[test]
    fn distances_are_those_of_an_atlas() {
        for (from, to, about) in
            [("DE", "DE", 0), ("DE", "AT", 450), ("DE", "US", 7_600), ("NZ", "ES", 19_500)]
        {
            let found = country(from).distance_km(country(to));
            assert_eq!(found, country(to).distance_km(country(from)));
            assert!(found.abs_diff(about) <= 500, "{from} {to}: {found}");
        }
        // Across the date line.
        assert!(country("FJ").distance_km(country("TO")) < 1_000);
    }
}
