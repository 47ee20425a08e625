/**
 * The five people a visitor of the demo can be, and the visit they wait for.
 *
 * Features carry the names of a public telco data set's columns, so that a model trained on it
 * scores them as they are.
 */

const HOUR = 3_600_000;

const BASE = {
  gender: 'Female', SeniorCitizen: 0, Partner: 'No', Dependents: 'No', PhoneService: 'Yes',
  MultipleLines: 'No', InternetService: 'Fiber optic', OnlineSecurity: 'No', OnlineBackup: 'No',
  DeviceProtection: 'No', TechSupport: 'No', StreamingTV: 'No', StreamingMovies: 'No',
  Contract: 'Month-to-month', PaperlessBilling: 'Yes', PaymentMethod: 'Electronic check',
};

export const PEOPLE = {
  new_mover: {
    name: 'Ana', job: 'install',
    features: { ...BASE, tenure: 2, MonthlyCharges: 74.9, TotalCharges: 149.8, Partner: 'Yes' },
    segments: ['new_mover'], products: ['internet_500'],
  },
  loyal: {
    name: 'Walter', job: 'upgrade',
    features: {
      ...BASE, gender: 'Male', tenure: 62, Contract: 'Two year', MonthlyCharges: 99.4,
      TotalCharges: 6162.8, StreamingTV: 'Yes', StreamingMovies: 'Yes', Partner: 'Yes', SeniorCitizen: 1,
      PaymentMethod: 'Credit card (automatic)', OnlineSecurity: 'Yes',
    },
    segments: ['loyal'], products: ['internet_500', 'tv'],
  },
  issue: {
    name: 'Priya', job: 'repair',
    features: { ...BASE, tenure: 19, MonthlyCharges: 84.5, TotalCharges: 1605.5, Dependents: 'Yes' },
    segments: [], products: ['internet_500'], care: { open_issue: true },
  },
  hardship: {
    name: 'Joseph', job: 'repair',
    features: {
      ...BASE, gender: 'Male', tenure: 31, InternetService: 'DSL', MonthlyCharges: 54.2, TotalCharges: 1680.2,
      PaymentMethod: 'Mailed check', Dependents: 'Yes',
    },
    segments: [], products: ['internet_100'], care: { payment_hardship: true },
  },
  late: {
    name: 'Lucía', job: 'install', delay: 45 * 60,
    features: { ...BASE, tenure: 8, Contract: 'One year', MonthlyCharges: 89.9, TotalCharges: 719.2 },
    segments: [], products: ['internet_500'],
  },
};

/** When somebody arrives who comes in this phase, as minutes from now. */
const ARRIVAL_MINUTES = { day_of: 135, en_route: 21, arriving: 2, on_site: -10, completed: -45, feedback: -50 };
/** Between the arrival and the end of the window, for a visit that is on time. */
const SPARE_MINUTES = 60;

const onHalfHour = (ms) => new Date(Math.round(ms / (HOUR / 2)) * (HOUR / 2));

/**
 * The promised two hours: in three days at one o'clock while the visit is only planned, else around
 * now, so that the page fits the clock of whoever looks. For a late visit they are over.
 */
export function visitWindow({ person, phase, movedTo }) {
  let to;
  if (phase === 'scheduled') {
    const from = movedTo ?? new Date(new Date().setHours(13, 0, 0, 0) + 72 * HOUR);
    to = new Date(from.getTime() + 2 * HOUR);
  } else {
    const minutes = ARRIVAL_MINUTES[phase] + (PEOPLE[person].delay ? -PEOPLE[person].delay / 60 : SPARE_MINUTES);
    to = onHalfHour(Date.now() + minutes * 60_000);
  }
  return { from: new Date(to.getTime() - 2 * HOUR), to };
}

/** Other times the customer could choose: a morning, a midday and an afternoon of the next days. */
export function otherWindows(state) {
  const { from } = visitWindow(state);
  return [[1, 9], [2, 13], [4, 16]].map(([days, hour]) => {
    const start = new Date(from);
    start.setDate(start.getDate() + days);
    start.setHours(hour, 0, 0, 0);
    return { from: start, to: new Date(start.getTime() + 2 * HOUR) };
  });
}

export function customerOf({ person, consent, rating, basket }, session) {
  const { name, features, segments, products, care } = PEOPLE[person];
  return {
    // A new id for each page load: the demo's caps should not outlive the visitor's curiosity.
    id: `demo-${person}-${session}`,
    features: { ...features, first_name: name },
    segments, consent,
    // What was ordered a minute ago is owned, whatever the next question is.
    products: [...products, ...basket.map((offer) => offer.offer_id)],
    care: { ...care, last_rating: rating },
  };
}

export function appointmentOf(state, session) {
  const { job, delay = 0 } = PEOPLE[state.person];
  const { from, to } = visitWindow(state);
  return {
    id: `apt-${state.person}-${session}`, phase: state.phase, job_type: job, reschedules: state.reschedules,
    // Nobody is late for a visit in three days.
    delay_seconds: state.phase === 'scheduled' ? 0 : delay,
    window_start: from.toISOString(), window_end: to.toISOString(),
    technician: {
      skills: ['wifi', 'smart_home'], slack_minutes: 35,
      stock: state.extender ? ['wifi6_extender', 'thermostat'] : ['thermostat'],
    },
  };
}
