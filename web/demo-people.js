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

/** The promised window: one to three in the afternoon, today or, while it is only planned, in three days. */
export function visitWindow(phase, movedDays = 0) {
  const from = new Date();
  from.setHours(13, 0, 0, 0);
  if (phase === 'scheduled') from.setDate(from.getDate() + 3);
  from.setDate(from.getDate() + movedDays);
  return { from, to: new Date(from.getTime() + 2 * HOUR) };
}

export function customerOf(key, consent, session) {
  const { name, features, segments, products, care } = PEOPLE[key];
  return {
    // A new id for each page load: the demo's caps should not outlive the visitor's curiosity.
    id: `demo-${key}-${session}`,
    features: { ...features, first_name: name },
    segments, products, care, consent,
  };
}

export function appointmentOf(key, phase, session) {
  const { job, delay = 0 } = PEOPLE[key];
  const { from, to } = visitWindow(phase);
  return {
    id: `apt-${key}-${session}`, phase, job_type: job, reschedules: 0, delay_seconds: delay,
    window_start: from.toISOString(), window_end: to.toISOString(),
    technician: {
      skills: ['wifi', 'smart_home'], stock: ['wifi6_extender', 'thermostat'], slack_minutes: 35,
    },
  };
}
