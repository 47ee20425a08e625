/**
 * The demo tracker: one technician visit from booking to feedback, with offers decided by offerd.
 *
 * This file owns what changes: the phase, the clock, who is waiting, and the client. It reads top
 * to bottom: state, what a phase looks like, asking for offers, the buttons, the controls.
 */

import { createOfferd } from '/sdk.js';
import { clearDecisions, showDecision, showEvents } from './demo-inspector.js';
import { createMap } from './demo-map.js';
import { closeSlot, drawOffers } from './demo-offers.js';
import { PEOPLE, appointmentOf, customerOf, visitWindow } from './demo-people.js';
import {
  calendarFile, chosenWindow, copy, download, openChat, openInfo, openReschedule, toast, writeChat,
} from './demo-sheets.js';
import { OPERATOR, formatDay, formatHours, formatMoney, formatTime, text, useLocale } from './demo-text.js';

/** Each phase: what is asked for, and how long it stays when the visit plays by itself. */
const PHASES = {
  scheduled: { asks: ['tracker_hero'], play_ms: 6000 },
  day_of: { asks: ['tracker_hero', 'eta_strip'], play_ms: 6000 },
  en_route: { asks: ['map_card', 'eta_strip'], play_ms: 16000 },
  arriving: { asks: ['eta_strip', 'technician_panel'], play_ms: 8000 },
  on_site: { asks: ['tracker_hero', 'technician_panel'], play_ms: 9000 },
  completed: { asks: ['summary_panel'], play_ms: 7000 },
  feedback: { asks: ['feedback_panel'], play_ms: 8000 },
};
const ORDER = Object.keys(PHASES);

/** The drive in demo time: a second on screen is twenty on the road. */
const CLOCK_RATE = 20;
const DRIVE = {
  en_route: { eta: 21 * 60, eta_min: 240, from: 0.03, to: 0.84 },
  arriving: { eta: 120, eta_min: 20, from: 0.86, to: 0.985 },
};
const WORK_MINUTES = 35;
const WORK_STEPS = 5;
const WORK_STEP_MS = 3500;

const byId = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const calm = matchMedia('(prefers-reduced-motion: reduce)');

const asked = new URLSearchParams(location.search);
const session = crypto.randomUUID().slice(0, 8);
const state = {
  phase: ORDER.includes(asked.get('phase')) ? asked.get('phase') : 'scheduled',
  person: PEOPLE[asked.get('person')] ? asked.get('person') : 'new_mover',
  locale: startLocale(),
  consent: { personalization: true, marketing: true, measurement: true },
  extender: true, // on the technician's van
  movedTo: null, reschedules: 0, rating: undefined,
  entered: 0, // when this phase began, in performance time
  basket: [],
};
let client;
let map;
let playTimer;

function startLocale() {
  const wanted = asked.get('lang') ?? navigator.language;
  return wanted.startsWith('es') ? 'es-US' : 'en-US';
}

// ── what a phase looks like ──

const elapsed = () => (performance.now() - state.entered) / 1000;

function eta() {
  const drive = DRIVE[state.phase];
  return drive ? Math.max(drive.eta_min, drive.eta - elapsed() * CLOCK_RATE) : null;
}

function workDone() {
  return Math.min(WORK_STEPS - 1, 1 + Math.floor(elapsed() * 1000 / WORK_STEP_MS));
}

function values() {
  const { from, to } = visitWindow(state);
  const seconds = eta() ?? 0;
  const minutes = state.phase === 'on_site'
    ? Math.round(WORK_MINUTES * (1 - workDone() / WORK_STEPS)) : Math.max(1, Math.round(seconds / 60));
  return {
    operator: OPERATOR, name: PEOPLE[state.person].name, minutes,
    clock: formatTime(new Date(Date.now() + seconds * 1000)),
    day: formatDay(from), window: formatHours(from, to),
  };
}

function set(id, words) {
  // Written only when it changes: a live region speaks on every write.
  if (byId(id).textContent !== words) byId(id).textContent = words;
}

function drawStatus() {
  const now = values();
  set('kicker', text(`kicker_${state.phase}`, now));
  set('headline', text(`head_${state.phase}`, now));
  set('subline', text(`sub_${state.phase}`, now));
  set('eta-minutes', text('eta_minutes', now));
  set('eta-clock', text('eta_at', now));
}

function drawNotice() {
  const { delay } = PEOPLE[state.person];
  const done = ['completed', 'feedback'].includes(state.phase);
  const words = {
    late: done || state.phase === 'scheduled' ? '' : text('late', { minutes: delay / 60 }),
    issue: text(done ? 'issue_done' : 'issue'),
    hardship: done ? '' : text('hardship'),
  }[state.person];
  byId('notice').hidden = !words;
  set('notice', words ?? '');
}

function drawTicks(id, words, done) {
  byId(id).replaceChildren(...words.map((line, i) => {
    const item = document.createElement('li');
    item.textContent = line;
    item.className = i < done ? 'done' : i === done ? 'now' : '';
    return item;
  }));
}

function drawWork() {
  const done = workDone();
  if (byId('work').dataset.done === `${done} ${state.locale}`) return;
  byId('work').dataset.done = `${done} ${state.locale}`;
  drawTicks('work', [1, 2, 3, 4, 5].map((n) => text(`work_${n}`)), done);
}

function drawBasket() {
  byId('basket').hidden = !state.basket.length;
  byId('basket-list').replaceChildren(...state.basket.map((offer) => {
    const item = document.createElement('li');
    const price = document.createElement('b');
    price.textContent = offer.price?.amount_minor ? formatMoney(offer.price) : '';
    item.append(offer.content.title, price);
    return item;
  }));
}

function drawPage() {
  const { phase } = state;
  const now = values();
  document.documentElement.lang = state.locale.slice(0, 2);
  document.body.dataset.phase = phase;
  document.title = text('title', { operator: OPERATOR });
  all('[data-operator]').forEach((element) => { element.textContent = OPERATOR; });
  all('[data-t]').forEach((element) => { element.textContent = text(element.dataset.t); });
  all('[data-t-label]').forEach((element) => element.setAttribute('aria-label', text(element.dataset.tLabel)));
  all('[data-locale]').forEach((button) => {
    button.setAttribute('aria-pressed', button.dataset.locale === state.locale);
  });
  all('[data-phases]').forEach((section) => {
    section.hidden = !section.dataset.phases.split(' ').includes(phase);
  });
  set('window', `${now.day}, ${now.window}`);
  set('job', text(`job_${PEOPLE[state.person].job}`));
  drawTicks('prepare', [1, 2, 3].map((n) => text(`prepare_${n}`)), -1);
  drawStatus();
  drawNotice();
  drawWork();
  drawBasket();
  drawControls();
  all('.rail li').forEach((item, i) => {
    item.className = i < ORDER.indexOf(phase) ? 'done' : i === ORDER.indexOf(phase) ? 'now' : '';
  });
}

/** Runs with the screen: the van moves on every frame, or once a second where motion is unwelcome. */
function tick() {
  const drive = DRIVE[state.phase];
  if (drive) {
    const share = 1 - (eta() - drive.eta_min) / (drive.eta - drive.eta_min);
    map.moveTo(drive.from + (drive.to - drive.from) * share);
  }
  if (drive || state.phase === 'on_site') drawStatus();
  if (state.phase === 'on_site') drawWork();
  if (calm.matches) setTimeout(requestAnimationFrame, 1000, tick);
  else requestAnimationFrame(tick);
}

// ── asking for offers ──

const slotOf = (id) => document.querySelector(`.slot[data-placement="${id}"]`);

function connect() {
  client?.close();
  all('.slot').forEach(closeSlot);
  client = createOfferd({
    appointment: visit(), customer: customerOf(state, session),
    locale: state.locale,
  });
  client.onEvent(showEvents);
  client.onRefresh((reason) => { if (reason !== 'phase') ask(PHASES[state.phase].asks); });
  client.trigger('page_viewed');
}

/** The visit as a dispatch system would tell it now. */
const visit = () => ({
  ...appointmentOf(state, session), eta_seconds: eta() === null ? null : Math.round(eta()),
});

async function ask(ids) {
  const { phase } = state;
  const from = performance.now();
  const answer = await client.decide(ids);
  if (answer.stale || phase !== state.phase) return;
  showDecision(answer, phase, performance.now() - from);
  for (const { id, offers } of answer.placements) drawSlot(slotOf(id), offers);
}

/** A renewed answer changes nothing under the reader's eyes unless there is something else to say. */
function drawSlot(slot, offers) {
  const before = [...slot.querySelectorAll('[data-offer]')].map((element) => element.dataset.offer).join();
  if (slot.contains(document.activeElement) || slot.querySelector('.added')) return;
  if (before && before === offers.map((offer) => offer.offer_id).join()) return;
  drawOffers(slot, offers, client, { ordered, reversed, followed });
}

function ordered(offer) {
  state.basket.push(offer);
  drawBasket();
}

function reversed(offer) {
  state.basket = state.basket.filter((other) => other !== offer);
  drawBasket();
}

/** Offers that open something of this page: its chat, a part of it, or more words. */
function followed({ offer_id, content }) {
  const url = content.action?.url ?? '';
  if (url.startsWith('http') || url.startsWith('tel:')) return;
  if (follow(new URL(url, location.href).searchParams)) return;
  if (offer_id === 'your_choices') byId('choices').open = true;
  const part = { your_choices: 'choices', visit_checklist: 'prepare-card' }[offer_id];
  if (part) return byId(part).scrollIntoView({ behavior: calm.matches ? 'auto' : 'smooth', block: 'center' });
  const more = text(`info_${offer_id}`);
  openInfo(content.title, more.startsWith('info_') ? content.body : more);
}

/** What links to this page can ask for: `?chat=case`, `?chat=visit`, `?refer=1`. */
function follow(params) {
  if (params.has('chat')) chat(params.get('chat'));
  else if (params.has('refer')) refer();
  else return false;
  return true;
}

/** What the customer does may open the way for an offer: places that are empty are asked for again. */
let triggerTimer;
function used(trigger, element) {
  client.trigger(trigger);
  client.element(element);
  askAgain();
}

function askAgain() {
  clearTimeout(triggerTimer);
  triggerTimer = setTimeout(() => {
    const empty = PHASES[state.phase].asks.filter((id) => !slotOf(id).firstChild);
    if (empty.length) ask(empty);
  }, 500);
}

function enter(phase) {
  state.phase = phase;
  state.entered = performance.now();
  if (calm.matches && DRIVE[phase]) state.entered -= 2000;
  all('.slot').forEach(closeSlot);
  map.follow(false);
  client.setPhase(phase, visit());
  // On the day itself the visit comes first, then what else there is to say.
  byId(phase === 'day_of' ? 'visit-card' : 'work-card').after(slotOf('tracker_hero'));
  drawPage();
  if (DRIVE[phase]) {
    client.trigger('map_viewed');
    client.trigger('eta_viewed');
  }
  ask(PHASES[phase].asks);
}

/** The server hears of the arrival now and then, as it would from a dispatch system. */
function reportEta() {
  if (eta() !== null) client.setPhase(state.phase, visit());
}

// ── the customer's buttons ──

function chat(topic) {
  used('chat_opened', 'chat');
  openChat(topic, values());
}

function refer() {
  used('social_shared', 'refer');
  const link = `https://larkfield.example/join/${session}`;
  copy(link);
  toast(text('referred', { link }));
}

function moveVisit() {
  if (byId('reschedule').returnValue !== 'move') return;
  state.movedTo = chosenWindow();
  state.reschedules += 1;
  go('scheduled');
  const { from, to } = visitWindow(state);
  toast(text('moved', { window: `${formatDay(from)}, ${formatHours(from, to)}` }));
}

const ACTIONS = {
  calendar() {
    used('calendar_added', 'calendar');
    download('visit.ics', 'text/calendar', calendarFile(state, session));
    toast(text('saved'));
  },
  reschedule() {
    used('reschedule_tapped', 'reschedule');
    openReschedule(state);
  },
  technician(button) {
    const open = button.getAttribute('aria-expanded') !== 'true';
    button.setAttribute('aria-expanded', open);
    byId('technician-more').hidden = !open;
    if (open) used('technician_viewed', 'technician_card');
  },
  chat: () => chat('visit'),
  call() {
    used('call_tapped', 'call');
    toast(text('calling'));
  },
  summary() {
    used('summary_downloaded', 'summary');
    const lines = [OPERATOR, text('summary_title'), '', text(`job_${PEOPLE[state.person].job}`),
      `512 ${text('figure_speed')}, 9 ms ${text('figure_delay')}, 14 ${text('figure_devices')}`, text('summary_note'), ''];
    download('visit-summary.txt', 'text/plain', lines.join('\n'));
    toast(text('downloaded'));
  },
  share() {
    used('social_shared', 'share');
    copy(location.href);
    toast(text('shared'));
  },
};

function rate(stars) {
  state.rating = stars;
  client.feedback(stars);
  byId('feedback').dataset.rating = stars;
  set('feedback-thanks', text(stars > 3 ? 'thanks_good' : stars > 2 ? 'thanks_fair' : 'thanks_bad'));
  // A bad visit ends the selling: what stands on the page is asked for again.
  if (stars <= 2) all('.slot').forEach(closeSlot);
  client.element('feedback');
  askAgain();
}

// ── the demo's controls ──

function drawControls() {
  const here = ORDER.indexOf(state.phase);
  byId('phases').replaceChildren(...ORDER.map((phase, i) => {
    const item = document.createElement('li');
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: text(`phase_${phase}`) });
    button.dataset.go = phase;
    if (i === here) button.setAttribute('aria-current', 'step');
    item.className = i < here ? 'done' : '';
    item.append(button);
    return item;
  }));
  set('phase-now', text(`phase_${state.phase}`));
  byId('previous').disabled = here === 0;
  byId('next').disabled = here === ORDER.length - 1;
  if (byId('persona').dataset.locale !== state.locale) byId('persona').replaceChildren(...Object.keys(PEOPLE).map((person) => new Option(
    text(`persona_${person}`), person, person === state.person, person === state.person)));
  byId('persona').dataset.locale = state.locale;
  set('persona-why', text(`why_${state.person}`));
}

function go(phase) {
  const keep = document.activeElement?.dataset.go;
  enter(phase);
  if (keep) document.querySelector(`[data-go="${phase}"]`).focus({ preventScroll: true });
  scrollTo({ top: 0, behavior: calm.matches ? 'auto' : 'smooth' });
}

function step(by) {
  const phase = ORDER[ORDER.indexOf(state.phase) + by];
  if (phase) go(phase);
  return Boolean(phase);
}

function play(on) {
  clearTimeout(playTimer);
  byId('play').setAttribute('aria-pressed', on);
  byId('play').querySelector('use').setAttribute('href', `/demo/assets/icons.svg#${on ? 'pause' : 'play'}`);
  if (!on) return;
  playTimer = setTimeout(() => play(step(1)), PHASES[state.phase].play_ms);
}

/** Another person, language or consent is another visitor: a new client, and everything asked again. */
function restart() {
  useLocale(state.locale);
  clearDecisions();
  connect();
  enter(state.phase);
}

function drawer(open) {
  document.body.classList.toggle('inspecting', open);
  byId('inspect').setAttribute('aria-expanded', open);
  if (open) byId('inspect-close').focus();
  else byId('inspect').focus();
}

function listen() {
  document.addEventListener('click', ({ target }) => {
    const button = target.closest('button');
    if (button?.dataset.action) ACTIONS[button.dataset.action](button);
    if (button?.dataset.go) { play(false); go(button.dataset.go); }
    if (button?.dataset.locale) { state.locale = button.dataset.locale; restart(); }
  });
  byId('map').addEventListener('click', () => {
    map.follow(!map.following);
    used('map_viewed', 'live_map');
  });
  byId('previous').addEventListener('click', () => { play(false); step(-1); });
  byId('next').addEventListener('click', () => { play(false); step(1); });
  byId('play').addEventListener('click', () => {
    const on = byId('play').getAttribute('aria-pressed') !== 'true';
    if (on && state.phase === ORDER.at(-1)) go(ORDER[0]);
    play(on);
  });
  byId('persona').addEventListener('change', ({ target }) => {
    Object.assign(state, { person: target.value, basket: [], movedTo: null, reschedules: 0, rating: undefined });
    byId('feedback').reset();
    set('feedback-thanks', '');
    restart();
  });
  byId('extender').addEventListener('change', ({ target }) => {
    state.extender = target.checked;
    restart();
  });
  for (const name of ['personalization', 'marketing']) {
    byId(name).addEventListener('change', ({ target }) => {
      state.consent[name] = target.checked;
      restart();
    });
  }
  byId('feedback').addEventListener('change', ({ target }) => rate(Number(target.value)));
  byId('chat-form').addEventListener('submit', writeChat);
  byId('reschedule').addEventListener('close', moveVisit);
  byId('inspect').addEventListener('click', () => drawer(!document.body.classList.contains('inspecting')));
  byId('inspect-close').addEventListener('click', () => drawer(false));
  document.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape' && document.body.classList.contains('inspecting')) drawer(false);
  });
}

map = createMap(byId('map'));
listen();
restart();
tick();
setInterval(reportEta, 5000);
follow(asked);
