// theme.js - light, dark or as the system has it, before anything is painted; the button in the margin changes it (app.js).
{
  let theme = null;
  try {
    theme = localStorage.getItem("hone.theme");
  } catch {
    // storage may be forbidden: then it is as the system has it
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
