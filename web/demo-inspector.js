/**
 * The operator's view: what was decided for the page beside it, with which odds, and what was sent.
 *
 * It shows only what the answers hold. Scores and odds are there on a developer's own machine and
 * for secret keys; anywhere else those lines are simply absent.
 */

import { formatMoney, text } from './demo-text.js';

const DECISIONS_MAX = 12;
const EVENTS_MAX = 60;

/** Where a developer's own offerd has its operators' port, unless told otherwise at its start. */
const OPERATORS = ['localhost', '127.0.0.1'].includes(location.hostname) && location.port === '8080'
  ? `http://${location.hostname}:8081` : null;

const byId = (id) => document.getElementById(id);

function make(tag, className, content = '') {
  const element = document.createElement(tag);
  element.className = className;
  if (content !== '') element.textContent = content;
  return element;
}

const percent = (share) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

export function clearDecisions() {
  byId('decisions').replaceChildren(make('p', 'empty', text('waiting')));
}

/** @param answer a decision @param phase asked in @param ms how long the answer took, seen from here */
export function showDecision(answer, phase, ms) {
  const list = byId('decisions');
  list.querySelector('.empty')?.remove();
  const box = make('article', 'decision');
  const head = make('p', 'decision-head');
  head.append(make('b', '', text(`phase_${phase}`)), make('span', 'ms', `${ms.toFixed(ms < 10 ? 1 : 0)} ms`));
  box.append(head);
  if (answer.fallback) {
    box.append(make('p', 'why', `${answer.fallback} · ${text('fallback')}`));
  } else {
    box.append(decisionId(answer.decision_id));
    box.append(make('p', 'facts-line', factsOf(answer)));
    for (const placement of answer.placements) box.append(placementRow(placement));
  }
  list.prepend(box);
  while (list.children.length > DECISIONS_MAX) list.lastChild.remove();
}

function decisionId(id) {
  const line = make('p', 'decision-id');
  line.append(make('code', '', id));
  if (OPERATORS) {
    const link = make('a', '', text('record'));
    Object.assign(link, { href: `${OPERATORS}/v1/decisions/${id}`, target: '_blank', rel: 'noopener' });
    line.append(' ', link);
  }
  return line;
}

function factsOf(answer) {
  const facts = [`epoch ${answer.epoch}`];
  if (answer.model) facts.push(answer.model);
  if (answer.ttl_ms) facts.push(`ttl ${Math.round(answer.ttl_ms / 1000)} s`);
  for (const { id, arm } of answer.experiments ?? []) facts.push(`${id}: ${arm}`);
  return [...facts, ...(answer.degraded ?? [])].join(' · ');
}

function placementRow(placement) {
  const row = make('div', 'placement');
  row.append(make('p', 'placement-id', placement.id));
  if (!placement.offers.length) {
    const none = make('p', 'none', `${text('no_offer')}: `);
    none.append(make('code', '', placement.no_offer_reason ?? '–'));
    row.append(none);
  }
  for (const offer of placement.offers) row.append(offerRow(offer));
  return row;
}

function offerRow(offer) {
  const row = make('div', 'chosen');
  const name = make('p', 'chosen-name');
  const chip = make('span', 'chip', offer.class);
  chip.dataset.class = offer.class;
  name.append(chip, make('b', '', offer.offer_id));
  if (offer.price?.amount_minor) name.append(make('span', 'quiet', formatMoney(offer.price)));
  if (offer.explored) name.append(make('span', 'chip', text('explored')));
  row.append(name);
  if (offer.propensity != null) {
    const odds = make('div', 'odds');
    const bar = make('i', '');
    bar.style.width = `${offer.propensity * 100}%`;
    odds.append(bar);
    row.append(odds);
    const facts = [`${percent(offer.propensity)} ${text('propensity')}`];
    if (offer.score != null) facts.push(`score ${offer.score.toFixed(2)}`);
    if (offer.conversion_probability != null) facts.push(`p(conv) ${percent(offer.conversion_probability)}`);
    row.append(make('p', 'quiet', facts.join(' · ')));
  }
  return row;
}

const rows = new Map(); // event id → its line
let sent = 0;

/** A listener for `onEvent`: one line per event, with what became of it. */
export function showEvents({ state, events, reply }) {
  if (state === 'queued') events.forEach(addEvent);
  const refused = new Map((reply?.rejected ?? []).map((item) => [item.index, item.code]));
  events.forEach((event, i) => {
    const row = rows.get(event.id);
    const fate = refused.get(i) ?? (state === 'sent' && !reply ? 'refused' : state);
    if (!row) return;
    row.dataset.state = refused.has(i) || fate === 'refused' ? 'rejected' : state;
    row.lastChild.textContent = fate;
  });
  if (state !== 'queued') sent += events.length;
  byId('event-count').textContent = sent;
}

function addEvent(event) {
  const list = byId('events');
  const row = make('li', '');
  const detail = event.element ?? event.rating ?? (event.dwell_ms != null ? `${(event.dwell_ms / 1000).toFixed(1)} s` : '');
  row.append(make('b', '', event.type), make('span', 'quiet', String(detail)), make('span', 'fate'));
  rows.set(event.id, row);
  list.prepend(row);
  while (list.children.length > EVENTS_MAX) list.lastChild.remove();
  if (rows.size > EVENTS_MAX) rows.delete(rows.keys().next().value);
}
