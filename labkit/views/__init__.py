"""What one sees and hears: plotly figures, widgets and players. No model code lives here."""
