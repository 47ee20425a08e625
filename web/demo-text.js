/**
 * Every word of the demo tracker, in English and Spanish.
 *
 * `{name}` and the like are filled in by `text()`. Offers are not here: their words come with
 * the decision, in the locale that was asked for.
 */

/** The invented operator. It is named here and nowhere else (the page's HTML is only a first paint). */
export const OPERATOR = 'Larkfield Cable';

const EN = {
  title: 'Your visit · {operator}', skip: 'Skip to your visit', language: 'Language',
  phase_scheduled: 'Scheduled', phase_day_of: 'Today', phase_en_route: 'On the way',
  phase_arriving: 'Arriving', phase_on_site: 'At your place', phase_completed: 'Done',
  phase_feedback: 'Feedback',

  kicker_scheduled: 'Hi {name}, your visit is booked', head_scheduled: '{day}, {window}',
  sub_scheduled: 'We narrow this window down as the day comes closer.',
  kicker_day_of: 'Hi {name}, today is the day', head_day_of: '{window}',
  sub_day_of: 'Mateo has two visits before yours. We tell you when he sets off.',
  kicker_en_route: 'Mateo is on the way', head_en_route: '{minutes} min',
  sub_en_route: 'Expected at {clock}. Tap the map to follow the van.',
  kicker_arriving: 'Almost there', head_arriving: 'Mateo is at your street',
  sub_arriving: 'He rings at 2B. Someone over 18 should be home.',
  kicker_on_site: 'Mateo is at work', head_on_site: 'About {minutes} min left',
  sub_on_site: 'No need to stand by: he asks when he needs you.',
  kicker_completed: 'All done', head_completed: 'Everything works',
  sub_completed: 'Tested in every room. Your summary is below.',
  kicker_feedback: 'Thank you, {name}', head_feedback: 'One last question',
  sub_feedback: 'It takes five seconds, and Mateo reads every answer.',

  late: 'We are running {minutes} minutes late. We are sorry that you have to wait.',
  issue: 'Your outage from Tuesday is still open. Mateo has the notes and will not leave before it works.',
  issue_done: 'Your case stays open for two more days, in case anything comes back.',
  hardship: 'You asked us about easier payments. Nothing about today’s visit changes.',
  map_title: 'Live map', map_button: 'Live map. Tap to follow the van', eta_at: '· {clock}', eta_minutes: '{minutes} min',
  visit_title: 'Your visit', when: 'When', what: 'What', where: 'Where',
  job_install: 'Internet installation', job_repair: 'Connection repair', job_upgrade: 'Upgrade to faster Wi-Fi',
  calendar: 'Add to calendar', reschedule: 'Reschedule', move: 'Move',
  prepare_title: 'Before we come',
  prepare_1: 'Clear a shelf near the wall socket', prepare_2: 'Keep pets in another room',
  prepare_3: 'Have your Wi-Fi name ready, if you want to keep it',
  technician_role: 'Technician · 9 years with us', visits: '· 1,240 visits',
  technician_more: 'Photo ID badge 4471, white van, plate ending 82K. Speaks English and Spanish. Wears shoe covers, and asks before moving anything.',
  chat: 'Chat', call: 'Call',
  work_title: 'What is happening',
  work_1: 'Line tested from the street', work_2: 'New modem installed', work_3: 'Wi-Fi set up in every room',
  work_4: 'Speed measured', work_5: 'Walk through it with you',
  summary_title: 'Visit summary', figure_speed: 'Mbps down', figure_delay: 'response', figure_devices: 'devices online',
  summary_note: 'Modem replaced, two old splitters removed, signal level −2 dBmV. Warranty on the work: 90 days.',
  download: 'Download', share: 'Share',
  feedback_title: 'How did it go?', rating: 'Rating, one to five stars',
  thanks_good: 'Glad to hear it. We pass it on to Mateo.',
  thanks_fair: 'Thank you. Next time we want five.',
  thanks_bad: 'We are sorry. Someone who can fix it calls you today.',
  basket_title: 'Added to your visit', privacy: 'Your choices about offers',
  privacy_text: 'We use your plan and this visit to suggest things that fit. Help with your visit never depends on these choices.',
  consent_personal: 'Use my plan and history', consent_marketing: 'Show me offers',
  chat_visit_title: 'Chat with Mateo', chat_visit_1: 'Hi {name}, Mateo here. Is there anything I should know?',
  chat_visit_2: 'The gate code is 4410.', chat_visit_3: 'Thank you, it is on the work order.',
  chat_case_title: 'Chat about your case', chat_case_1: 'Hi {name}, Nadia here. I have had your case since Tuesday.',
  chat_case_2: 'Has anybody found out what it is?',
  chat_case_3: 'A worn splitter outside your home. Mateo brings the part and stays until it works.',
  chat_write: 'Write a message', chat_send: 'Send', chat_reply: 'Got it, I have added that to the work order.', close: 'Close',
  reschedule_title: 'A better time?', keep: 'Keep my time', move_confirm: 'Move the visit',
  moved: 'Moved to {window}.', calling: 'Calling Mateo through a masked number…', shared: 'Link to your summary copied.',
  referred: 'Your link is copied: {link}',
  saved: 'Saved to your calendar file.', downloaded: 'Summary downloaded.',

  info_late_visit_credit: 'You will find it on your next bill as “Late visit”. It counts once for this visit and does not touch other discounts.',
  info_moved_visit_line: 'Dispatch: (555) 010-0142, every day from 7 AM to 9 PM. Say your street; they have your visit on the screen.',
  info_wifi_tips: 'Walls, metal and water swallow the signal, and a microwave talks over it. Move the modem up and into the open, then run a speed test in the room that matters and compare.',

  label_care: 'Here to help', label_service: 'For your visit', label_upsell: 'Offer', label_partner: 'Partner offer', label_content: 'Good to know',
  not_now: 'Not now', add: 'Add to my visit', added: 'Added: {title}', undo: 'Undo',
  removed: 'Removed: {title}. You pay nothing.',

  controls: 'Demo controls', previous: 'Previous phase', next: 'Next phase', play: 'Play the whole visit', inspect: 'Operator’s view',
  inspector_title: 'Operator’s view', persona: 'Who is waiting', extender: 'A Wi-Fi 6 extender is on the van', record: 'The record', decided: 'What was decided', events: 'What was sent',
  persona_new_mover: 'New mover', why_new_mover: 'Two months in, on a monthly contract, no TV yet. Sees the full range.',
  persona_loyal: 'Long-time customer', why_loyal: 'Five years, two-year contract, has streaming. What they own is not offered again.',
  persona_issue: 'Open issue', why_issue: 'An outage is unsolved. Service comes before selling: help only.',
  persona_hardship: 'Payment hardship', why_hardship: 'Has said that paying is hard. Assistance, never an upsell.',
  persona_late: 'Late visit', why_late: 'The technician is 45 minutes behind. Nothing is sold to somebody kept waiting.',
  waiting: 'Nothing has been asked yet.', no_offer: 'No offer', fallback: 'No answer in time: the page shows nothing instead.',
  propensity: 'chance of this choice', explored: 'explored',
};

const ES = {
  title: 'Tu visita · {operator}', skip: 'Ir a tu visita', language: 'Idioma',
  phase_scheduled: 'Programada', phase_day_of: 'Hoy', phase_en_route: 'En camino',
  phase_arriving: 'Llegando', phase_on_site: 'En tu casa', phase_completed: 'Lista',
  phase_feedback: 'Opinión',

  kicker_scheduled: 'Hola, {name}: tu visita está reservada', head_scheduled: '{day}, {window}',
  sub_scheduled: 'Afinamos el horario a medida que se acerca el día.',
  kicker_day_of: 'Hola, {name}: hoy es el día', head_day_of: '{window}',
  sub_day_of: 'Mateo tiene dos visitas antes. Te avisamos cuando salga hacia tu casa.',
  kicker_en_route: 'Mateo está en camino', head_en_route: '{minutes} min',
  sub_en_route: 'Toca el mapa para seguir la camioneta. Llega hacia las {clock}',
  kicker_arriving: 'Ya casi', head_arriving: 'Mateo está en tu calle',
  sub_arriving: 'Tocará en el 2B. Debe haber en casa alguien mayor de 18 años.',
  kicker_on_site: 'Mateo está trabajando', head_on_site: 'Quedan unos {minutes} min',
  sub_on_site: 'No hace falta que esperes al lado: te avisa si lo necesita.',
  kicker_completed: 'Todo listo', head_completed: 'Todo funciona',
  sub_completed: 'Probado en cada habitación. Abajo tienes tu resumen.',
  kicker_feedback: 'Gracias, {name}', head_feedback: 'Una última pregunta',
  sub_feedback: 'Son cinco segundos, y Mateo lee todas las respuestas.',

  late: 'Vamos con {minutes} minutos de retraso. Sentimos que tengas que esperar.',
  issue: 'Tu avería del martes sigue abierta. Mateo tiene las notas y no se irá hasta que funcione.',
  issue_done: 'Tu caso queda abierto dos días más, por si algo vuelve a fallar.',
  hardship: 'Nos preguntaste por facilidades de pago. La visita de hoy no cambia en nada.',
  map_title: 'Mapa en vivo', map_button: 'Mapa en vivo. Toca para seguir la camioneta', eta_at: '· {clock}', eta_minutes: '{minutes} min',
  visit_title: 'Tu visita', when: 'Cuándo', what: 'Qué', where: 'Dónde',
  job_install: 'Instalación de internet', job_repair: 'Reparación de la conexión', job_upgrade: 'Mejora a un wifi más rápido',
  calendar: 'Añadir al calendario', reschedule: 'Cambiar', move: 'Cambiar',
  prepare_title: 'Antes de que lleguemos',
  prepare_1: 'Deja libre un estante junto a la toma', prepare_2: 'Ten a las mascotas en otra habitación',
  prepare_3: 'Ten a mano el nombre de tu wifi, si quieres conservarlo',
  technician_role: 'Técnico · 9 años con nosotros', visits: '· 1.240 visitas',
  technician_more: 'Identificación 4471 con foto, camioneta blanca, matrícula terminada en 82K. Habla inglés y español. Usa cubrezapatos y pregunta antes de mover nada.',
  chat: 'Chat', call: 'Llamar',
  work_title: 'Qué está pasando',
  work_1: 'Línea probada desde la calle', work_2: 'Módem nuevo instalado', work_3: 'Wifi configurado en cada habitación',
  work_4: 'Velocidad medida', work_5: 'Repaso contigo',
  summary_title: 'Resumen de la visita', figure_speed: 'Mbps de bajada', figure_delay: 'respuesta', figure_devices: 'equipos en línea',
  summary_note: 'Módem cambiado, dos derivadores viejos retirados, nivel de señal −2 dBmV. Garantía del trabajo: 90 días.',
  download: 'Descargar', share: 'Compartir',
  feedback_title: '¿Cómo fue?', rating: 'Puntuación, de una a cinco estrellas',
  thanks_good: 'Nos alegra. Se lo contamos a Mateo.',
  thanks_fair: 'Gracias. La próxima vez queremos cinco.',
  thanks_bad: 'Lo sentimos. Hoy mismo te llama alguien que puede arreglarlo.',
  basket_title: 'Añadido a tu visita', privacy: 'Tus opciones sobre ofertas',
  privacy_text: 'Usamos tu plan y esta visita para sugerir lo que encaja. La ayuda con tu visita nunca depende de estas opciones.',
  consent_personal: 'Usar mi plan y mi historial', consent_marketing: 'Mostrarme ofertas',
  chat_visit_title: 'Chat con Mateo', chat_visit_1: 'Hola, {name}, soy Mateo. ¿Hay algo que deba saber?',
  chat_visit_2: 'El código del portal es 4410.', chat_visit_3: 'Gracias, queda anotado en la orden.',
  chat_case_title: 'Chat sobre tu caso', chat_case_1: 'Hola, {name}, soy Nadia. Llevo tu caso desde el martes.',
  chat_case_2: '¿Ya se sabe qué es?',
  chat_case_3: 'Un derivador gastado fuera de tu casa. Mateo lleva la pieza y se queda hasta que funcione.',
  chat_write: 'Escribe un mensaje', chat_send: 'Enviar', chat_reply: 'Recibido, lo he añadido a la orden.', close: 'Cerrar',
  reschedule_title: '¿Te va mejor otra hora?', keep: 'Dejarla así', move_confirm: 'Cambiar la visita',
  moved: 'Cambiada a {window}.', calling: 'Llamando a Mateo con un número protegido…', shared: 'Enlace al resumen copiado.',
  referred: 'Tu enlace está copiado: {link}',
  saved: 'Archivo de calendario guardado.', downloaded: 'Resumen descargado.',

  info_late_visit_credit: 'Lo verás en tu próxima factura como «visita con retraso». Cuenta una vez por esta visita y no cambia otros descuentos.',
  info_moved_visit_line: 'Central: (555) 010-0142, todos los días de 7 a. m. a 9 p. m. Di tu calle; tienen tu visita en pantalla.',
  info_wifi_tips: 'Las paredes, el metal y el agua se tragan la señal, y un microondas habla por encima. Sube el módem, déjalo despejado, mide la velocidad en la habitación que importa y compara.',

  label_care: 'Para ayudarte', label_service: 'Para tu visita', label_upsell: 'Oferta', label_partner: 'Oferta de un socio', label_content: 'Bueno saberlo',
  not_now: 'Ahora no', add: 'Añadir a mi visita', added: 'Añadido: {title}', undo: 'Deshacer',
  removed: 'Quitado: {title}. No pagas nada.',

  controls: 'Controles de la demostración', previous: 'Fase anterior', next: 'Fase siguiente', play: 'Reproducir toda la visita', inspect: 'Vista del operador',
  inspector_title: 'Vista del operador', persona: 'Quién espera', extender: 'Hay un extensor Wi-Fi 6 en la camioneta', record: 'El registro', decided: 'Qué se decidió', events: 'Qué se envió',
  persona_new_mover: 'Recién mudada', why_new_mover: 'Dos meses, contrato mensual, aún sin TV. Ve toda la gama.',
  persona_loyal: 'Cliente de años', why_loyal: 'Cinco años, contrato de dos, ya tiene streaming. Lo que tiene no se le vuelve a ofrecer.',
  persona_issue: 'Problema abierto', why_issue: 'Hay una avería sin resolver. El servicio va antes que la venta: solo ayuda.',
  persona_hardship: 'Dificultad de pago', why_hardship: 'Ha dicho que le cuesta pagar. Ayuda, nunca una venta.',
  persona_late: 'Visita con retraso', why_late: 'El técnico lleva 45 minutos de retraso. A quien espera no se le vende nada.',
  waiting: 'Todavía no se ha preguntado nada.', no_offer: 'Sin oferta', fallback: 'Sin respuesta a tiempo: la página no muestra nada.',
  propensity: 'probabilidad de esta elección', explored: 'exploración',
};

const BY_LANGUAGE = { en: EN, es: ES };
let locale = 'en-US';

export function useLocale(tag) {
  locale = tag;
}

/** The words for `key`, with `{placeholders}` filled in. */
export function text(key, values = {}) {
  const words = BY_LANGUAGE[locale.slice(0, 2)]?.[key] ?? EN[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

export const formatTime = (date) => (
  date.toLocaleTimeString(locale, { hour: 'numeric', minute: '2-digit' }));

export const formatDay = (date) => {
  const day = date.toLocaleDateString(locale, { weekday: 'long', month: 'short', day: 'numeric' });
  return day[0].toLocaleUpperCase(locale) + day.slice(1);
};

export const formatHours = (from, to) => {
  const hours = new Intl.DateTimeFormat(locale, { hour: 'numeric', minute: '2-digit' });
  return hours.formatRange(from, to).replace(/\s/g, '\u00a0'); // a time stays on one line
};

export const formatMoney = ({ amount_minor, currency }) => {
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency });
  return format.format(amount_minor / 10 ** format.resolvedOptions().maximumFractionDigits);
};
