penguins <- read.csv(Sys.getenv("KHAN_INPUT_clean"))
model <- lm(body_mass_g ~ flipper_length_mm + species + sex, data = penguins)
print(summary(model))
write.csv(as.data.frame(coef(summary(model))), Sys.getenv("KHAN_OUTPUT_coefficients"))
