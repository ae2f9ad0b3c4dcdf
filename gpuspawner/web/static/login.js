// The login page: a password can be looked at, an unsafe connection is said, and the form is sent once.

const password = document.getElementById("password_input");
const look = document.getElementById("toggle_password_visibility");
if (password && look) {
  look.hidden = false;
  look.addEventListener("click", () => {
    const shown = password.type === "password";
    password.type = shown ? "text" : "password";
    look.querySelector("i").className = shown ? "fa fa-eye-slash" : "fa fa-eye";
    look.setAttribute("aria-pressed", String(shown));
  });
}

if (!window.isSecureContext) {
  document.getElementById("insecure-login-warning")?.classList.remove("hidden");
}

for (const form of document.querySelectorAll("#login-main form")) {
  form.addEventListener("submit", () => {
    // After the browser has taken the form.
    setTimeout(() => {
      form.querySelectorAll(".feedback-container > input").forEach((button) => (button.disabled = true));
      form.querySelectorAll(".feedback-container > *").forEach((part) => part.classList.toggle("hidden"));
      form.querySelectorAll(".feedback-widget > *").forEach((part) => part.classList.toggle("fa-pulse"));
    });
  });
}
