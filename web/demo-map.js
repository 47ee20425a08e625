/**
 * The live map: a small invented town, a route along its streets, and a van that drives it.
 *
 * It is drawn, not fetched: no tiles, no third party that learns where a customer lives. `at` is
 * how far along the route the van is, 0 to 1; whoever owns the clock tells it.
 */

const TOWN = `
<svg viewBox="0 0 400 250" preserveAspectRatio="xMidYMid slice" aria-hidden="true" focusable="false">
  <g class="camera">
    <g transform="rotate(-9 200 125)">
      <rect class="land" x="-120" y="-120" width="640" height="500"/>
      <rect class="park" x="138" y="46" width="84" height="56" rx="10"/>
      <path class="path" d="M138 92 Q180 60 222 62"/>
      <g class="tree"><circle cx="154" cy="62" r="6"/><circle cx="170" cy="56" r="5"/><circle cx="206" cy="90" r="6"/><circle cx="192" cy="80" r="4"/><circle cx="156" cy="86" r="4"/></g>
      <path class="river" d="M-120 150 C-20 128 20 168 60 196 S140 300 260 330 L260 380"/>
      <g class="street">
        <path d="M-120 36H520M-120 112H520M-120 188H520M-120 254H520"/>
        <path d="M52 -120V380M128 -120V380M232 -120V380M308 -120V380M384 -120V380"/>
        <path d="M232 112L384 36"/>
      </g>
      <g class="block">
        <rect x="62" y="46" width="26" height="24" rx="3"/><rect x="92" y="46" width="26" height="36" rx="3"/><rect x="62" y="76" width="24" height="26" rx="3"/>
        <rect x="138" y="122" width="38" height="22" rx="3"/><rect x="182" y="122" width="40" height="30" rx="3"/><rect x="138" y="150" width="36" height="28" rx="3"/><rect x="180" y="158" width="42" height="20" rx="3"/>
        <rect x="242" y="122" width="24" height="56" rx="3"/><rect x="272" y="122" width="26" height="26" rx="3"/><rect x="272" y="154" width="26" height="24" rx="3"/>
        <rect x="318" y="122" width="56" height="22" rx="3"/><rect x="318" y="150" width="24" height="28" rx="3"/><rect x="348" y="150" width="26" height="28" rx="3"/>
        <rect x="242" y="46" width="34" height="30" rx="3"/><rect x="318" y="76" width="56" height="26" rx="3"/>
        <rect x="138" y="198" width="84" height="20" rx="3"/><rect x="242" y="198" width="56" height="46" rx="3"/><rect x="138" y="224" width="40" height="20" rx="3"/>
        <rect x="318" y="198" width="56" height="46" rx="3"/><rect x="394" y="46" width="60" height="56" rx="3"/><rect x="394" y="122" width="60" height="56" rx="3"/>
        <rect x="-20" y="46" width="62" height="56" rx="3"/><rect x="62" y="-20" width="56" height="46" rx="3"/><rect x="138" y="-20" width="84" height="46" rx="3"/>
        <rect x="242" y="-20" width="56" height="46" rx="3"/><rect x="318" y="-20" width="56" height="46" rx="3"/>
      </g>
      <text class="street-name" transform="translate(252 112) rotate(-26.5)">Alder Street</text>
      <text class="street-name" x="262" y="193">Mill Road</text>
      <path class="route done" d="M56 188H114Q128 188 128 174V126Q128 112 142 112H220Q232 112 243 106L322 67"/>
      <path class="route left" d="M56 188H114Q128 188 128 174V126Q128 112 142 112H220Q232 112 243 106L322 67"/>
      <g class="home" transform="translate(331 62.5)">
        <circle class="halo" r="17"/><circle r="12"/>
        <path d="M-6 0L0 -5.5L6 0M-4.2 -1.2V5H4.2V-1.2"/>
      </g>
      <g class="van">
        <circle class="van-halo" r="15"/>
        <rect class="van-body" x="-11" y="-6" width="22" height="12" rx="3.2"/>
        <path class="van-glass" d="M4.5 -4.6H7.5Q9 -4.6 9 -3V3Q9 4.6 7.5 4.6H4.5Z"/>
        <rect class="van-stripe" x="-8.5" y="-1.1" width="10" height="2.2" rx="1.1"/>
      </g>
    </g>
  </g>
</svg>`;

/** Draws the town into `element` and returns what moves on it. */
export function createMap(element) {
  element.innerHTML = TOWN; // fixed text of this file
  const camera = element.querySelector('.camera');
  const van = element.querySelector('.van');
  const left = element.querySelector('.route.left');
  const length = left.getTotalLength();
  left.style.strokeDasharray = `${length} ${length}`;
  let at = 0;
  let follows = false;

  function draw() {
    const here = left.getPointAtLength(length * at);
    // The heading comes from a short piece of road around the van, so that it turns into corners.
    const behind = left.getPointAtLength(Math.max(0, length * at - 4));
    const ahead = left.getPointAtLength(Math.min(length, length * at + 4));
    const heading = Math.atan2(ahead.y - behind.y, ahead.x - behind.x) * 180 / Math.PI;
    van.setAttribute('transform', `translate(${here.x} ${here.y}) rotate(${heading})`);
    left.style.strokeDashoffset = -length * at;
    // The town is turned by 9 degrees around its middle; so is the point to look at.
    const turn = -9 * Math.PI / 180;
    const x = 200 + (here.x - 200) * Math.cos(turn) - (here.y - 125) * Math.sin(turn);
    const y = 125 + (here.x - 200) * Math.sin(turn) + (here.y - 125) * Math.cos(turn);
    camera.style.transform = follows ? `translate(${200 - x * 1.8}px, ${125 - y * 1.8}px) scale(1.8)` : '';
  }

  return {
    moveTo(progress) {
      at = Math.min(1, Math.max(0, progress));
      draw();
    },
    /** Looks closely at the van, or at the whole way again. */
    follow(on) {
      follows = on;
      draw();
    },
    get following() { return follows; },
  };
}
