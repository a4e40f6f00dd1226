// Searches for the number that the page asks for, shows it to the server in a cookie, and asks for the page again.
//
// SHA-256 (FIPS 180-4) is written out: browsers offer theirs to HTTPS pages only, and one promise for each attempt.
(() => {
  "use strict";
  const { cookie, challenge, bits, seconds, again } = document.body.dataset;
  const state = document.getElementById("state");

  const primes = [];
  for (let n = 2; primes.length < 64; n++) {
    if (primes.every((prime) => n % prime)) primes.push(n);
  }
  const fraction = (root) => ((root % 1) * 2 ** 32) | 0;
  const constants = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
  const initial = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

  // What is hashed fits one block: the challenge, a dot, up to 16 digits, a bit, the length.
  const block = new DataView(new ArrayBuffer(64));
  const words = new Int32Array(64);
  const prefix = challenge + ".";
  for (let i = 0; i < prefix.length; i++) block.setUint8(i, prefix.charCodeAt(i));

  // The first word of the digest, which is all that a search of up to 32 bits looks at.
  function firstWord(number) {
    const digits = String(number);
    let end = prefix.length;
    for (let i = 0; i < digits.length; i++) block.setUint8(end++, digits.charCodeAt(i));
    block.setUint8(end, 0x80);
    block.setUint32(60, end * 8);
    for (let i = 0; i < 16; i++) words[i] = block.getInt32(i * 4);
    for (let i = 16; i < 64; i++) {
      const x = words[i - 15];
      const y = words[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
    }
    let a = initial[0];
    let b = initial[1];
    let c = initial[2];
    let d = initial[3];
    let e = initial[4];
    let f = initial[5];
    let g = initial[6];
    let h = initial[7];
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + constants[i] + words[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    return (a + initial[0]) | 0;
  }

  function show(number) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${cookie}=${prefix}${number}; Path=/; Max-Age=${seconds}; SameSite=Lax${secure}`;
    if (!document.cookie.includes(prefix)) {
      state.textContent = "Please allow cookies for this site and load the page again.";
    } else if (again === "true") {
      state.textContent = "Done.";
      location.reload();
    } else {
      state.textContent = "Done. Please go back and send the form again.";
    }
  }

  // Some thousand attempts at a time, so that the browser stays alive to its user.
  let number = 0;
  function search() {
    for (const end = number + 5000; number < end; number++) {
      if (Math.clz32(firstWord(number)) >= bits) return show(number);
    }
    const share = Math.round(100 * (1 - Math.exp(-number / 2 ** bits)));
    state.textContent = `Working: ${share} % of browsers would be done by now.`;
    setTimeout(search);
  }
  search();
})();
