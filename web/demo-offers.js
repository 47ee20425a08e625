/**
 * Draws offers into their places on the tracker and lets the customer answer them.
 *
 * An empty place takes no room at all. A place opens and closes gently, so that what is being
 * read does not jump. Words and pictures come from the decision; nothing here knows an offer.
 */

import { formatMoney, text } from './demo-text.js';

const byId = (id) => document.getElementById(id);

/** Pictures come from the catalog; one that is missing is replaced by its class's. */
function picture(image, offer) {
  const standIn = `/demo/assets/${offer.class ?? 'content'}.svg`;
  image.src = offer.content.image_url || standIn;
  image.addEventListener('error', () => { image.src = standIn; }, { once: true });
}

/** Narrow cards break lines often, and "Wi-" at the end of one reads badly. */
const unbroken = (words) => words.replace(/(?<=\w)-(?=\w)/g, '\u2011');

/** A link where the offer leads away; a button where it orders, or opens something of this page. */
function callToAction(offer) {
  const { action, cta } = offer.content;
  const orders = action?.kind === 'order';
  // Only addresses that lead somewhere: a catalog is not trusted to bring scripts along.
  const url = /^(https?:|tel:)/.test(action?.url ?? '') ? action.url : null;
  const element = document.createElement(orders || !url ? 'button' : 'a');
  element.className = 'button strong';
  element.dataset.offerd = 'click';
  element.textContent = cta || text('add');
  if (element.localName === 'a') Object.assign(element, { href: url, target: '_blank', rel: 'noopener' });
  else element.type = 'button';
  return { element, orders };
}

/**
 * @param slot the element that holds the place
 * @param offers what was decided for it
 * @param client the offerd client
 * @param page what the page does on `ordered(offer)`, `reversed(offer)` and `followed(offer)`
 */
export function drawOffers(slot, offers, client, page) {
  if (!offers.length) return closeSlot(slot);
  const box = document.createElement('div');
  box.className = 'slot-inner';
  for (const offer of offers) box.append(card(slot, offer, client, page));
  slot.replaceChildren(box);
  // Opened in the next frame, so that the browser has a closed state to start from.
  requestAnimationFrame(() => {
    slot.classList.add('open');
    [...box.children].forEach((element, i) => client.show(element, offers[i]));
  });
}

export function closeSlot(slot) {
  slot.classList.remove('open');
  slot.replaceChildren();
}

function card(slot, offer, client, page) {
  const element = byId('offer').content.firstElementChild.cloneNode(true);
  const part = (name) => element.querySelector(name);
  const kind = offer.class ?? 'content';
  element.dataset.class = kind;
  element.dataset.offer = offer.offer_id;
  picture(part('.offer-image'), offer);
  part('.offer-label').textContent = text(`label_${kind}`);
  part('.offer-title').textContent = unbroken(offer.content.title);
  part('.offer-text').textContent = unbroken(offer.content.body ?? '');
  part('.offer-price').textContent = offer.price?.amount_minor ? formatMoney(offer.price) : '';
  const dismiss = part('[data-offerd=dismiss]');
  dismiss.textContent = text('not_now');
  dismiss.setAttribute('aria-label', `${text('not_now')}: ${offer.content.title}`);
  const { element: link, orders } = callToAction(offer);
  part('.offer-foot').append(link);

  dismiss.addEventListener('click', () => leave(slot, element));
  link.addEventListener('click', () => {
    if (orders) add(element, offer, client, page);
    else page.followed(offer);
  });
  return element;
}

/** Orders in place: one tap, and one tap to take it back. */
function add(element, offer, client, page) {
  client.order(offer);
  client.convert(offer);
  page.ordered(offer);
  const added = byId('added').content.firstElementChild.cloneNode(true);
  const words = added.querySelector('p');
  const undo = added.querySelector('button');
  words.textContent = text('added', { title: offer.content.title });
  undo.textContent = text('undo');
  undo.addEventListener('click', () => {
    client.reverse(offer);
    page.reversed(offer);
    words.textContent = text('removed', { title: offer.content.title });
    undo.remove();
    words.tabIndex = -1;
    words.focus({ preventScroll: true });
  });
  element.replaceWith(added);
  undo.focus({ preventScroll: true });
}

function leave(slot, element) {
  // Focus goes to the place's surroundings, not back to the top of the page.
  const around = slot.closest('.card') ?? byId('tracker');
  element.remove();
  if (!slot.querySelector('.offer')) closeSlot(slot);
  around.setAttribute('tabindex', '-1');
  around.focus({ preventScroll: true });
}
