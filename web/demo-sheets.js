/**
 * What opens over the page or leaves it: chat, other times, notes, and files to keep.
 *
 * Nothing here knows a phase or asks for offers; whoever opens a sheet says what goes into it.
 */

import { PEOPLE, otherWindows, visitWindow } from './demo-people.js';
import { OPERATOR, formatDay, formatHours, text } from './demo-text.js';

const byId = (id) => document.getElementById(id);

let toastTimer;
export function toast(words) {
  byId('toast').textContent = words;
  byId('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { byId('toast').hidden = true; }, 4000);
}

export function download(name, type, content) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A page without the right to the clipboard still shows what it would have copied. */
export const copy = (words) => navigator.clipboard?.writeText(words).catch(() => {});

function chatLine(words, mine) {
  const line = document.createElement('li');
  line.textContent = words;
  line.className = mine ? 'mine' : '';
  return line;
}

/** @param topic `case`: with the person who has the open case; anything else: with the technician */
export function openChat(topic, values) {
  const about = topic === 'case' ? 'chat_case' : 'chat_visit';
  byId('chat-title').textContent = text(`${about}_title`);
  byId('chat-lines').replaceChildren(...[1, 2, 3].map((n) => chatLine(text(`${about}_${n}`, values), n === 2)));
  byId('chat').showModal();
}

export function writeChat(event) {
  event.preventDefault();
  const words = byId('chat-text').value.trim();
  if (!words) return;
  byId('chat-text').value = '';
  byId('chat-lines').append(chatLine(words, true), chatLine(text('chat_reply')));
  byId('chat-lines').lastChild.scrollIntoView({ block: 'nearest' });
}

/** More words about an offer. */
export function openInfo(title, words) {
  byId('info-title').textContent = title;
  byId('info-text').textContent = words;
  byId('info').showModal();
}

/** The visit as an iCalendar file. */
export function calendarFile(state, session) {
  const stamp = (date) => date.toISOString().replace(/[-:]|\.\d+/g, '');
  const { from, to } = visitWindow(state);
  return [
    'BEGIN:VCALENDAR', 'VERSION:2.0', `PRODID:-//${OPERATOR}//visit//EN`, 'BEGIN:VEVENT',
    `UID:${session}@visit.example`, `DTSTAMP:${stamp(new Date())}`, `DTSTART:${stamp(from)}`, `DTEND:${stamp(to)}`,
    `SUMMARY:${OPERATOR}: ${text(`job_${PEOPLE[state.person].job}`)}`, 'LOCATION:418 Alder Street\\, 2B',
    'END:VEVENT', 'END:VCALENDAR', '',
  ].join('\r\n');
}

/** Offers other times; the dialog closes with `move` when one was chosen. */
export function openReschedule(state) {
  const choices = otherWindows(state).map(({ from, to }, i) => {
    const label = document.createElement('label');
    const input = Object.assign(document.createElement('input'), {
      type: 'radio', name: 'window', value: from.toISOString(), checked: i === 0,
    });
    label.append(input, `${formatDay(from)}, ${formatHours(from, to)}`);
    return label;
  });
  byId('windows').replaceChildren(...choices);
  byId('reschedule').returnValue = '';
  byId('reschedule').showModal();
}

/** The beginning of the window that was chosen. */
export const chosenWindow = () => new Date(byId('windows').querySelector(':checked').value);
